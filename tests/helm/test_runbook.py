"""The pod of the runbook, made from a StatefulSet that has no pods: it runs commands only."""

import json
import re
import subprocess
from pathlib import Path

import kubernetes_validate  # type: ignore[import-untyped]  # theirs has no types
import pytest

from tests.helm.charts import CASES, CHART, Tree, objects, only, read

pytestmark = pytest.mark.platform("jq")


def the_pod(worker: Tree) -> Tree:
    """Return the pod that the runbook's program makes of a StatefulSet."""
    text = (CHART / "RUNBOOK.md").read_text()
    (program,) = re.findall(r"\| jq '(.*?)' \| kubectl create", text, re.DOTALL)
    made = subprocess.run(
        ["jq", program],
        input=json.dumps(worker),
        capture_output=True,
        check=True,
        text=True,
    )
    pod: Tree = json.loads(made.stdout)
    return pod


def selects(selector: Tree, pod: Tree) -> bool:
    """Whether an object's selector means a pod."""
    wanted: Tree = selector["matchLabels"]
    labels: Tree = pod["metadata"]["labels"]
    return wanted.items() <= labels.items()


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_it_is_a_worker_s_pod_in_all_but_that_it_is_none(case: Path) -> None:
    every = objects(read(case))
    worker = only(read(case), "StatefulSet")
    pod = the_pod(worker)

    for version in ("1.27", "1.37"):
        kubernetes_validate.validate(pod, version, strict=True)
    template = worker["spec"]["template"]
    of_worker, *others = template["spec"]["containers"]
    of_pod, *beside = pod["spec"]["containers"]
    probes = ("startupProbe", "livenessProbe", "readinessProbe")
    kept = {name: each for name, each in of_worker.items() if name not in probes}
    assert (of_pod, beside) == (kept | {"args": ["ui"]}, others)
    assert pod["spec"] == template["spec"] | {
        "restartPolicy": "Never",
        "containers": pod["spec"]["containers"],
    }
    assert pod["metadata"]["annotations"] == template["metadata"]["annotations"]
    assert not selects(worker["spec"]["selector"], pod)
    for each in every:
        if each["kind"] == "NetworkPolicy":
            assert selects(each["spec"]["podSelector"], pod)
        if each["kind"] in {"PodMonitor", "PodDisruptionBudget"}:
            assert not selects(each["spec"]["selector"], pod)


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_what_the_runbook_calls_by_the_name_of_the_workers_is_called_so(
    case: Path,
) -> None:
    name = only(read(case), "StatefulSet")["metadata"]["name"]
    scalers = {"ScaledObject", "HorizontalPodAutoscaler"}
    pages = {
        each["metadata"]["name"]
        for each in objects(read(case))
        if each["kind"] == "Deployment"
    }

    assert {
        each["metadata"]["name"]
        for each in objects(read(case))
        if each["kind"] in scalers
    } <= {name}
    assert pages <= {f"{name}-ui"}
