"""A real Schema Registry: Apicurio's, by the interface that Confluent's clients speak."""

import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from jgo.config import GlobalSettings
from jgo.maven import MavenContext

from jetworker.sandbox.kafka import jars
from jetworker.sandbox.kafka.broker import free_ports

VERSION = "3.3.3"
_READY_WITHIN = 180.0  # Quarkus is slow where the machine is busy


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve an empty one from memory; yields its URL for Confluent's clients."""
    home = _home()
    port, _ = free_ports()
    url = f"http://127.0.0.1:{port}/apis/ccompat/v7"
    with (folder / "registry.log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(str(jars.java()), "-Xmx384m", "-Dquarkus.http.host=127.0.0.1"),
                *(f"-Dquarkus.http.port={port}", "-jar", str(home / "quarkus-run.jar")),
            ],
            cwd=folder,
            stdout=log,
            stderr=log,
        )
    try:
        _wait(url, process, folder / "registry.log")
        yield url
    finally:
        process.kill()
        process.wait()


def _wait(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + _READY_WITHIN
    while not _answers(url):
        said = log.read_text(errors="replace")[-2000:]
        assert process.poll() is None, said
        assert time.monotonic() < until, f"the registry does not answer: {said}"
        time.sleep(0.2)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/subjects", trust_env=False).is_success
    except httpx.TransportError:
        return False


def _home() -> Path:
    """Return its folder, fetched from Maven Central once."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    home = Path(base) / "jetworker" / f"apicurio-registry-{VERSION}"
    if not home.is_dir():
        partial = home.with_name(f"{home.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)  # of an interrupted attempt
        with tarfile.open(_archive(partial / "repository")) as archive:
            archive.extractall(partial / "home", filter="data")
        (partial / "home").rename(home)
        shutil.rmtree(partial)
    return home


@jars.trusting_the_system()
def _archive(repository: Path) -> Path:
    central = {"central": "https://repo.maven.apache.org/maven2"}
    context = MavenContext(
        repo_cache=repository,
        local_repos=[],
        remote_repos={**GlobalSettings.load().repositories, **central},
        timeout=60,
    )
    registry = context.project("io.apicurio", "apicurio-registry-app")
    return Path(registry.at_version(VERSION).artifact("all", "tar.gz").resolve())
