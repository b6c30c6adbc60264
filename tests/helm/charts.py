"""The chart as the tests see it: its files, and what it renders."""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import helm_python

from tests.support import yaml_text

CHART = Path(__file__).parents[2] / "helm" / "jetworker"
GOLDEN = Path(__file__).parent / "golden"
CASES = sorted((CHART / "ci").glob("*-values.yaml"))

Tree = dict[str, Any]


def values(case: str) -> Tree:
    """Return the values of ci/CASE-values.yaml."""
    return read(CHART / "ci" / f"{case}-values.yaml")


def read(path: Path) -> Tree:
    """Return a YAML file's mapping."""
    tree = yaml_text.read(path.read_text())
    assert isinstance(tree, dict)
    return tree


def schema() -> Tree:
    """Return values.schema.json."""
    tree = json.loads((CHART / "values.schema.json").read_text())
    assert isinstance(tree, dict)
    return tree


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> Tree:
    """Return both trees in one; *above* wins, as with `helm --values`."""
    found = dict(below)
    for name, value in above.items():
        old = found.get(name)
        if isinstance(old, dict) and isinstance(value, dict):
            found[name] = merged(old, value)
        else:
            found[name] = value
    return found


def rendered(given: Mapping[str, Any]) -> dict[str, str]:
    """Return the texts that the templates make of values, by template."""
    return dict(_rendered(json.dumps(given)))


@cache
def _rendered(given: str) -> dict[str, str]:
    """Render once what many tests look at; values are named by their JSON."""
    texts = helm_python.Chart.load(str(CHART)).render(
        json.loads(given), name="test", namespace="media"
    )
    return {name.removeprefix("jetworker/"): text for name, text in texts.items()}


def objects(given: Mapping[str, Any]) -> list[Tree]:
    """Return the Kubernetes objects of a release."""
    texts = rendered(given)
    return [
        each
        for name in sorted(texts)
        if not name.endswith("NOTES.txt")
        for each in yaml_text.read_all(texts[name])
        if each
    ]


def only(given: Mapping[str, Any], kind: str, suffix: str = "") -> Tree:
    """Return the one object of a kind whose name ends in *suffix*."""
    (found,) = (
        each
        for each in objects(given)
        if each["kind"] == kind and each["metadata"]["name"].endswith(suffix)
    )
    return found


def pod_specs(given: Mapping[str, Any]) -> Iterator[tuple[str, Tree]]:
    """Yield every pod of a release, by the kind of what makes it."""
    for each in objects(given):
        match each["kind"]:
            case "Pod":
                yield "Pod", each["spec"]
            case "StatefulSet" | "Deployment" | "Job" as kind:
                yield kind, each["spec"]["template"]["spec"]
            case _:
                pass
