"""The bill of materials names what is locked, and under which licence."""

import json
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from uv import find_uv_bin

from tests.packaging.sbom import licensed

ROOT = Path(__file__).parents[2]


def test_everything_that_is_installed_has_its_licence() -> None:
    export = ["--quiet", "--locked", "--offline", "--no-dev", "--format=cyclonedx1.5"]
    done = subprocess.run(
        [find_uv_bin(), "export", *export],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )

    components = licensed(json.loads(done.stdout))["components"]

    unsaid = {each["name"] for each in components if not each.get("licenses")}
    here = {each.metadata["Name"].lower() for each in metadata.distributions()}
    assert len(components) > 30
    assert unsaid & here == set()


def test_a_licence_is_told_as_the_package_states_it() -> None:
    bill: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "components": [{"name": "pydantic"}, {"name": "jinja2"}, {"name": "no-such"}],
    }

    assert licensed(bill) == {
        "bomFormat": "CycloneDX",
        "components": [
            {"name": "pydantic", "licenses": [{"expression": "MIT"}]},
            {"name": "jinja2", "licenses": [{"license": {"name": "BSD License"}}]},
            {"name": "no-such"},
        ],
    }
