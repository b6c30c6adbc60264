"""Trim CustomResourceDefinitions to what the tests need: `crds/README.md` says how."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

CRDS = Path(__file__).parent / "crds"
# Prose, and what only a server reads.
_LEFT_OUT = {"description", "title", "example", "default", "externalDocs"}


def trimmed(crd: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the schema of each version of a definition, without prose and status."""
    spec = crd["spec"]
    for version in spec["versions"]:
        schema = _without_prose(version["schema"]["openAPIV3Schema"])
        schema["properties"].pop("status", None)
        name = f"{spec['names']['kind']}.{version['name']}"
        yield name, {"group": spec["group"], "schema": schema}


def _without_prose(node: Any, *, names: bool = False) -> Any:
    """Copy a schema; a mapping of *names* keeps a property called `description`."""
    if isinstance(node, dict):
        return {
            key: _without_prose(below, names=not names and key == "properties")
            for key, below in node.items()
            if names or key not in _LEFT_OUT
        }
    if isinstance(node, list):
        return [_without_prose(each) for each in node]
    return node


def main(source: str, *files: str) -> None:
    """Write crds/KIND.VERSION.yaml for every version in *files*."""
    for file in files:
        for name, found in trimmed(yaml.safe_load(Path(file).read_text())):
            text = yaml.safe_dump({"source": source, **found}, sort_keys=False)
            (CRDS / f"{name}.yaml").write_text(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
