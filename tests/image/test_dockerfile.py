"""The Dockerfile as it is written; what it makes is tested where an image can be built."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "Dockerfile"


def test_the_dockerfile_is_free_of_lint() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run(
        [hadolint, "--no-color", "--failure-threshold", "style", DOCKERFILE],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (done.returncode, done.stdout) == (0, "")


def test_every_base_can_be_pinned_by_a_digest_and_none_names_a_processor() -> None:
    text = DOCKERFILE.read_text()
    bases = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    given = re.findall(r"^ARG (\w+_IMAGE)=", text, re.MULTILINE)

    assert set(bases) == {f"${{{name}}}" for name in given}
    assert not re.search(r"amd64|x86_64|arm64|aarch64|--platform", text)


def test_whoever_builds_it_may_ask_for_extras_and_the_bill_of_materials_has_them() -> (
    None
):
    """What the chart offers (IAM of Amazon MSK) has to be in some image."""
    steps = re.findall(r"uv (?:sync|export) [^\n]*", DOCKERFILE.read_text())

    assert len(steps) == 3
    assert all("${EXTRAS}" in each for each in steps)


def locked() -> dict[str, dict[str, Any]]:
    """Return what is locked, by name."""
    with (ROOT / "uv.lock").open("rb") as file:
        return {each["name"]: each for each in tomllib.load(file)["package"]}


def in_the_image(packages: Mapping[str, dict[str, Any]]) -> set[str]:
    """Return what `uv sync --no-dev` installs beside jetworker, on Linux, and extras."""
    extras = packages["jetworker"]["optional-dependencies"]
    found = {each["name"] for extra in ("aws", "otel") for each in extras[extra]}
    new = ["jetworker", *found]
    while new:
        names = {
            each["name"]
            for name in new
            for each in packages[name].get("dependencies", ())
            if not re.search(r"sys_platform == '(win|darwin)", each.get("marker", ""))
        }
        new = sorted(names - found)
        found |= names
    return found


def tags(package: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the Python and the platform that each wheel is for."""
    for wheel in package.get("wheels", ()):
        name = wheel["url"].rpartition("/")[2].removesuffix(".whl")
        _, python, abi, platform = name.rsplit("-", 3)
        yield ("any" if abi in {"abi3", "none"} else python), platform


@pytest.mark.parametrize("processor", ["x86_64", "aarch64"])
def test_all_that_the_image_installs_is_built_for_both_processors(
    processor: str,
) -> None:
    """The image has no compiler; its Python is the one that the Dockerfile names."""
    base = r"^ARG PYTHON_IMAGE=\S*python:(\d+)\.(\d+)-slim"
    version = re.search(base, DOCKERFILE.read_text(), re.MULTILINE)
    assert version
    python = f"cp{version[1]}{version[2]}"
    packages = locked()
    wanted = in_the_image(packages)
    missing = {
        name
        for name in wanted
        if not any(
            is_for in {"any", python}
            and (
                platform == "any" or ("manylinux" in platform and processor in platform)
            )
            for is_for, platform in tags(packages[name])
        )
    }

    assert {"aiokafka", "orjson"} <= wanted
    assert missing == set()
