"""The pure tests on every other Python of this machine that the product is said to run on."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from uv import find_uv_bin

ROOT = Path(__file__).parents[2]
VERSIONS = ("3.12", "3.13", "3.14")

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


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_pure_is_right_on_every_python_that_is_here(
    version: str, tmp_path: Path
) -> None:
    """With the locked versions of everything else, in an environment of its own."""
    found = interpreter(version)
    if found is None:
        pytest.skip(f"there is no Python {version} on this machine")
    environ = {
        **os.environ,
        "UV_PROJECT_ENVIRONMENT": str(tmp_path / "venv"),
        "UV_SYSTEM_CERTS": "1",
    }
    extras = ("--all-extras", "--no-extra", "kerberos")
    commands = (
        (find_uv_bin(), "sync", "--quiet", "--locked", *extras, "--python", found),
        (
            *(str(tmp_path / "venv" / "bin" / "python"), "-m", "pytest", "-q"),
            *("-p", "no:cacheprovider", "tests/core", "tests/wire"),
        ),
    )
    for command in commands:
        done = subprocess.run(
            command, cwd=ROOT, env=environ, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
