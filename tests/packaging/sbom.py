"""Licences for the bill of materials: the lock has none, what is installed says them."""

import json
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

_CLASSIFIER = "License :: "


def licensed(bill: dict[str, Any]) -> dict[str, Any]:
    """
    Return a CycloneDX document with the licence that each component's metadata states.

    What is not installed here (it is of another system) keeps none.
    """
    components = [
        each | {"licenses": found} if (found := _licences(each["name"])) else each
        for each in bill["components"]
    ]
    return bill | {"components": components}


def _licences(name: str) -> list[dict[str, Any]]:
    """Return an SPDX expression; else the classifiers; else what is written freely."""
    try:
        said = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return []
    for expression in said.get_all("License-Expression") or []:
        return [{"expression": expression}]
    classifiers = [
        each.rpartition(" :: ")[2]
        for each in said.get_all("Classifier") or []
        if each.startswith(_CLASSIFIER)
    ]
    if classifiers:
        return [{"license": {"name": each}} for each in classifiers]
    text = "\n".join(said.get_all("License") or []).strip()
    if "\n" in text:
        whole = {"content": text, "contentType": "text/plain"}
        return [{"license": {"name": "in its own words", "text": whole}}]
    return [{"license": {"name": text}}] if text else []


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(json.dumps(licensed(json.loads(path.read_text())), indent=2) + "\n")
