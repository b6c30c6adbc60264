"""Every other Python of this machine that the product is said to run on."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from uv import find_uv_bin

ROOT = Path(__file__).parents[2]
VERSIONS = ("3.12", "3.13", "3.14")
PURE = ("tests/core", "tests/wire")
CORE = tuple(
    f"tests/integration/test_{name}.py"
    for name in ("store", "reader", "scaling", "end_to_end")
)

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(3600)]


def interpreter(version: str) -> str | None:
    """Return one that answers: on the path, or one of pyenv's."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    installed = sorted((root / "versions").glob(f"{version}.*/bin/python"))
    for each in (*installed, shutil.which(f"python{version}")):
        if each is not None:
            asked = [str(each), "-c", "import venv"]
            if not subprocess.run(asked, check=False, capture_output=True).returncode:
                return str(each)
    return None


@pytest.fixture(scope="module", params=VERSIONS)
def python(request: pytest.FixtureRequest, tmp_path_factory: Any) -> tuple[str, str]:
    """Return a Python with the locked versions of everything else, and its version."""
    found = interpreter(request.param)
    if found is None:
        pytest.skip(f"there is no Python {request.param} on this machine")
    venv = tmp_path_factory.mktemp("python") / "venv"
    extras = ("--all-extras", "--no-extra", "kerberos")
    environ = {"UV_PROJECT_ENVIRONMENT": str(venv), "UV_SYSTEM_CERTS": "1"}
    run(find_uv_bin(), "sync", "--quiet", "--locked", *extras, "-p", found, **environ)
    return str(venv / "bin" / "python"), request.param


def run(*command: str, **environ: str) -> str:
    """Run a command of the project to its end; returns what it said."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **environ},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("tests", [PURE, CORE], ids=["pure", "core"])
def test_every_python_that_is_here_is_right(
    python: tuple[str, str], tests: tuple[str, ...]
) -> None:
    """What is pure, and the core of what needs a real Kafka."""
    program, version = python

    what = "import sys; print(sys.version)"
    assert run(program, "-c", what).startswith(f"{version}.")
    options = ("-q", "-p", "no:cacheprovider", "-m", "not nightly")
    run(program, "-m", "pytest", *options, *tests)
