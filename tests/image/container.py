"""The image, built from the Dockerfile by buildah without a daemon, and run as PID 1."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from uv import find_uv_bin

ROOT = Path(__file__).parents[2]
PYTHON = "docker.io/library/python:3.13-slim-trixie"
UV = "ghcr.io/astral-sh/uv:0.13.9"
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_SOURCE = (
    "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
    " http://deb.debian.org/debian trixie main"
)


def _run(*arguments: str) -> str:
    done = subprocess.run(
        arguments,
        check=False,
        capture_output=True,
        text=True,
        timeout=500,
        env=os.environ | {"BUILDAH_ISOLATION": "chroot"},
    )
    assert done.returncode == 0, f"{arguments}\n{done.stdout}{done.stderr}"[-5000:]
    return done.stdout.strip()


def build(folder: Path) -> "Image":
    """
    Build the Dockerfile as it is, from base images that are made here if missing.

    They are kept for the next time, under the public names, and are not what a registry
    has by these names: Debian's own Python, and the uv of this environment.
    """
    known = _run("buildah", "images", "--format", "{{.Name}}:{{.Tag}}").splitlines()
    if PYTHON not in known:
        _make_python(folder / "python")
    if UV not in known:
        _make_uv(folder / "uv")
    command = ("buildah", "bud", "--pull-never", "--no-cache", "--force-rm", "--quiet")
    return Image(_run(*command, "--build-arg", "REVISION=tested", str(ROOT)))


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
        # Those of this machine: a proxy may sign for the package index.
        f"COPY certificates.crt {_CERTIFICATES}",
        f"ENV PATH=/usr/local/bin:/usr/bin:/bin SSL_CERT_FILE={_CERTIFICATES}",
    )


def _make_uv(folder: Path) -> None:
    folder.mkdir()
    shutil.copy(find_uv_bin(), folder / "uv")
    _bake(folder, UV, "COPY uv /uv")


def _bake(folder: Path, name: str, *steps: str) -> None:
    (folder / "Dockerfile").write_text("\n".join(("FROM scratch", *steps)) + "\n")
    _run("buildah", "bud", "--quiet", "--tag", name, str(folder))


@contextmanager
def unpacked(name: str) -> Iterator[Path]:
    """Yield the root folder of a container of this image, and remove it afterwards."""
    container = _run("buildah", "from", "--pull-never", name)
    try:
        yield Path(_run("buildah", "mount", container))
    finally:
        _run("buildah", "rm", container)


@dataclass(frozen=True)
class Image:
    """An image that was built; *name* is its id."""

    name: str

    @cached_property
    def config(self) -> dict[str, Any]:
        """Return what it says of itself: user, entry point, labels, environment."""
        inspected = json.loads(_run("buildah", "inspect", "--type", "image", self.name))
        found: dict[str, Any] = inspected["OCIv1"]["config"]
        return found

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment that it brings."""
        return dict(each.split("=", 1) for each in self.config["Env"])

    def remove(self) -> None:
        """Take it out of the store; the base images stay."""
        _run("buildah", "rmi", self.name)

    def command(self, root: Path, mounted: Mapping[Path, str], *args: str) -> list[str]:
        """
        Return what runs it in *root* as Kubernetes does: as PID 1, nothing writable.

        Folders of this machine are *mounted* where the container looks for them.
        """
        words = " ".join([*self.config["Entrypoint"], *(args or self.config["Cmd"])])
        steps = [f"mount --bind {root} {root}"]
        for folder, place in mounted.items():
            (root / place.lstrip("/")).mkdir(parents=True, exist_ok=True)
            steps += [f"mount --bind {folder} {root}{place}"]
            steps += [f"mount -o remount,bind,ro {root}{place}"]
        steps += [
            f"mount -o remount,bind,ro {root}",
            f"mount -t proc proc {root}/proc",
            f"exec chroot --userspec={self.config['User']} {root} {words}",
        ]
        shell = ["sh", "-c", " && ".join(steps)]
        return ["unshare", "--mount", "--pid", "--fork", *shell]
