"""The image, built from the Dockerfile by buildah without a daemon, and run as PID 1."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from uv import find_uv_bin

ROOT = Path(__file__).parents[2]
PYTHON = "docker.io/library/python:3.13-slim-trixie"
UV = "ghcr.io/astral-sh/uv:0.13.9"
_NEEDED = ("buildah", "mmdebstrap", "unshare")
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_SOURCE = (
    "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
    " http://deb.debian.org/debian trixie main"
)


def require_builder() -> None:
    """Skip, and say why and what to do, where no image can be built."""
    missing = [name for name in _NEEDED if shutil.which(name) is None]
    if missing or os.geteuid():
        pytest.skip(
            "THE IMAGE IS NOT BUILT HERE: needs root and Debian's buildah and"
            f" mmdebstrap (missing: {', '.join(missing) or 'root'})"
        )


def _run(*arguments: str) -> str:
    environment = os.environ | {
        "STORAGE_DRIVER": "vfs",
        "BUILDAH_ISOLATION": "chroot",
    }
    done = subprocess.run(
        arguments,
        check=False,
        capture_output=True,
        text=True,
        timeout=500,
        env=environment,
    )
    assert done.returncode == 0, f"{arguments}\n{done.stdout}{done.stderr}"[-5000:]
    return done.stdout.strip()


def build(folder: Path) -> "Image":
    """Build the Dockerfile as it is; its base images are made here if they are missing."""
    known = _run("buildah", "images", "--format", "{{.Name}}:{{.Tag}}").splitlines()
    if PYTHON not in known:
        _make_python(folder / "python")
    if UV not in known:
        _make_uv(folder / "uv")
    command = ["buildah", "bud", "--isolation", "chroot", "--pull-never"]
    return Image(_run(*command, "-q", "-t", "jetworker:test", str(ROOT)).split()[-1])


def _make_python(folder: Path) -> None:
    """Make a Debian with Python out of its packages: no registry is asked."""
    folder.mkdir()
    packages = "--include=python3,ca-certificates,tzdata"
    tar = str(folder / "base.tar")
    _run("mmdebstrap", "-q", "--variant=minbase", packages, "trixie", tar, _SOURCE)
    shutil.copy(_CERTIFICATES, folder / "certificates.crt")
    _bake(
        folder,
        PYTHON,
        "ADD base.tar /",
        f"COPY certificates.crt {_CERTIFICATES}",
        f"ENV PATH=/usr/local/bin:/usr/bin:/bin SSL_CERT_FILE={_CERTIFICATES}",
    )


def _make_uv(folder: Path) -> None:
    folder.mkdir()
    shutil.copy(find_uv_bin(), folder / "uv")
    _bake(folder, UV, "COPY uv /uv")


def _bake(folder: Path, name: str, *steps: str) -> None:
    (folder / "Dockerfile").write_text("\n".join(("FROM scratch", *steps)) + "\n")
    _run("buildah", "bud", "-q", "-t", name, str(folder))


@dataclass(frozen=True)
class Image:
    """An image that was built; *name* is its id."""

    name: str

    @cache  # noqa: B019 -- one image, as long as the tests
    def config(self) -> dict[str, Any]:
        """Return the image's own: user, entry point, labels, environment."""
        inspected = json.loads(_run("buildah", "inspect", "--type", "image", self.name))
        found: dict[str, Any] = inspected["OCIv1"]["config"]
        return found

    def unpack(self) -> Path:
        """Return the root folder of a new container."""
        container = _run("buildah", "from", "--pull-never", self.name)
        return Path(_run("buildah", "mount", container))

    def own_bytes(self) -> int:
        """Return the size of what it adds to its base image."""
        size = {
            name: int(_run("buildah", "inspect", "--type", "image", "-f", _SIZE, name))
            for name in (self.name, PYTHON)
        }
        return size[self.name] - size[PYTHON]

    def command(self, root: Path) -> list[str]:
        """Return what runs it as PID 1 of its own, with a root that is read-only."""
        config = self.config()
        words = " ".join([*config["Entrypoint"], *config["Cmd"]])
        steps = (
            f"mount --bind {root} {root}",
            f"mount -o remount,bind,ro {root}",
            f"mount -t proc proc {root}/proc",
            f"exec chroot --userspec={config['User']} {root} {words}",
        )
        shell = ["sh", "-c", " && ".join(steps)]
        return ["unshare", "--mount", "--pid", "--fork", "--kill-child", *shell]

    def environment(self, settings: Mapping[str, str]) -> dict[str, str]:
        """Return the image's environment and *settings*."""
        own = dict(each.split("=", 1) for each in self.config()["Env"])
        path = own["PATH"]
        # The shell that mounts needs the host's programs, which are at the same places.
        return {**settings, **own, "PATH": f"{path}:/usr/sbin:/sbin"}


_SIZE = "{{.Size}}"
