"""A policy scan of what the chart renders finds nothing that policy.yaml does not explain.

The scanner is run by uv in an environment of its own, pinned by version and by day: in
ours it would hold back pytest and fifty others.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helm.charts import CASES, Tree, objects, read

CHECKOV = "checkov@3.3.30"
KNOWN_ON = "2026-11-20T00:00:00Z"  # newer releases of what it needs are left out
SKIPS: list[dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parent / "policy.yaml").read_text()
)
Check = tuple[str, str]
EXPLAINED: set[Check] = {(skip["check"], kind) for skip in SKIPS for kind in skip["of"]}


def _failed(folder: Path, releases: dict[str, list[Tree]]) -> dict[Check, set[str]]:
    """Scan releases by name: what failed of which kind, and in which of them."""
    for name, found in releases.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump_all(found))
    report = json.loads(_checkov(folder))
    assert report["summary"]["parsing_errors"] == 0
    failed: dict[Check, set[str]] = {}
    for each in report["results"]["failed_checks"]:
        check = each["check_id"], each["resource"].split(".")[0]
        failed.setdefault(check, set()).add(Path(each["file_path"]).stem)
    return failed


def _checkov(folder: Path) -> str:
    if os.environ.get("JETWORKER_NO_CHECKOV"):
        pytest.skip("JETWORKER_NO_CHECKOV says that there is no package index")
    run = [
        *[str(Path(sys.executable).with_name("uv")), "tool", "run", "--quiet"],
        *["--python", sys.executable, "--exclude-newer", KNOWN_ON, CHECKOV],
        *["--directory", str(folder), "--framework", "kubernetes", "--skip-download"],
        *["--soft-fail", "--compact", "--quiet", "--output", "json"],
    ]
    done = subprocess.run(run, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, (
        f"{done.stderr[-2000:]}\ncheckov comes from the package index; set"
        " JETWORKER_NO_CHECKOV=1 to leave this scan out"
    )
    return done.stdout


def _ours(case: Path) -> list[Tree]:
    """Return what the chart makes, without containers that the example brings."""
    return objects(read(case) | {"initContainers": [], "extraContainers": []})


CARELESS: Tree = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "careless", "namespace": "media"},
    "spec": {
        "containers": [
            {"name": "x", "image": "x", "securityContext": {"privileged": True}}
        ]
    },
}


@pytest.mark.timeout(400)
def test_nothing_is_found_but_what_is_explained_and_all_of_that(tmp_path: Path) -> None:
    releases = {case.stem: _ours(case) for case in CASES}

    found = _failed(tmp_path, releases | {"careless": [CARELESS]})
    planted = {check for check, where in found.items() if where == {"careless"}}

    assert ("CKV_K8S_16", "Pod") in planted  # privileged: the scan sees things
    assert found.keys() - planted == EXPLAINED
    assert "full-values" not in found["CKV2_K8S_6", "Pod"]
    assert "full-values" not in found["CKV_K8S_43", "StatefulSet"]


def test_every_exception_says_why() -> None:
    for skip in SKIPS:
        assert skip.keys() == {"check", "of", "why"}
        assert len(skip["why"]) > 30
    assert len(SKIPS) == len({skip["check"] for skip in SKIPS})
