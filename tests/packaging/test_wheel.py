"""What the README says about installing: the wheel, in an environment of its own."""

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from uv import find_uv_bin

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

pytestmark = pytest.mark.timeout(400)  # the first one builds and installs


def _run(*command: str | Path, cwd: Path = ROOT) -> str:
    done = subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env=os.environ | {"UV_SYSTEM_CERTS": "1"},
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    _run(find_uv_bin(), "build", "--quiet", "--wheel", "--out-dir", folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    """Return the programs of an environment with the wheel and what it depends on."""
    environment = wheel.parent / "environment"
    locked = wheel.parent / "locked.txt"
    uv = find_uv_bin()
    export = ["--quiet", "--locked", "--no-dev", "--no-emit-project"]
    _run(uv, "export", *export, "--output-file", locked)
    _run(uv, "venv", "--quiet", "--python", sys.executable, environment)
    python = environment / "bin" / "python"
    given = ("--quiet", "--python", python, "--constraints", locked)
    _run(uv, "pip", "install", *given, wheel)
    return environment / "bin"


def jetworker(installed: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run it as somebody who has set nothing."""
    return subprocess.run(
        [installed / "jetworker", *arguments],
        cwd=installed.parent,
        env={"PATH": os.environ["PATH"], "NO_COLOR": "1", "COLUMNS": "200"},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_wheel_holds_the_worker_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()

    tops = {name.split("/")[0] for name in names}
    version = PROJECT["version"]
    assert wheel.name == f"jetworker-{version}-py3-none-any.whl"
    assert tops == {"jetworker", f"jetworker-{version}.dist-info"}
    assert "jetworker/py.typed" in names


def test_it_tells_its_version(installed: Path) -> None:
    done = jetworker(installed, "--version")

    told = f"jetworker {PROJECT['version']}\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, told, "")


def test_a_check_names_each_setting_that_is_missing(installed: Path) -> None:
    done = jetworker(installed, "check")

    assert done.returncode == 78
    for name in (
        "JETWORKER_ROUTES_FILE",
        "JETWORKER_KAFKA__BOOTSTRAP_SERVERS",
        "JETWORKER_JET__CLIENT_ID",
        "JETWORKER_JET__CLIENT_SECRET",
    ):
        assert f"{name} is required and not set" in done.stdout + done.stderr


def test_what_needs_the_extra_says_how_to_have_it(installed: Path) -> None:
    done = jetworker(installed, "demo")

    assert done.returncode != 0
    assert "pip install 'jetworker[demo]'" in done.stdout + done.stderr


def test_the_schemas_come_out_of_it_as_they_are_in_the_repository(
    installed: Path, tmp_path: Path
) -> None:
    assert jetworker(installed, "schemas", str(tmp_path)).returncode == 0

    ours = _schemas(ROOT / "schemas")
    assert ours
    assert _schemas(tmp_path) == ours


def _schemas(folder: Path) -> dict[str, str]:
    """Return the schemas of this version; those of released ones lie deeper."""
    found = [*folder.glob("*.schema.json"), *folder.glob("*/*.schema.json")]
    return {str(path.relative_to(folder)): path.read_text() for path in found}
