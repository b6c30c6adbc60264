"""
A burst of deliveries over some jobs: what the worker takes for it, and the plain peer.

`python -m tests.benchmark.burst --help` measures other bursts than `make benchmark` does.
"""

import argparse
import asyncio
import json
import os
import socket
import statistics
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import httpx
import orjson
from typing_extensions import override

from jetworker.sandbox.jet.server import Sandbox
from jetworker.sandbox.jet.settings import JobSeed, SandboxSettings, Tuning
from jetworker.sandbox.kafka.broker import EmbeddedKafka
from tests.benchmark.ratios import Ratio
from tests.support.jet.fake_server import JetServer
from tests.support.system import System, WorkerProcess, a_command
from tests.support.waiting import PATIENCE, until

# Bounds for any machine. Where this one is idle the worker takes a fraction of what the
# peer takes; where it is busy the peer is too late to ask often, and so asks for less.
_MOST_CPU = 1.0
_MOST_CALLS = 1.5


@dataclass(frozen=True, slots=True)
class Load:
    """
    How many deliveries of how many *seconds*, all at once, over how many jobs.

    Each asks for so many *objects*; *latency* are the seconds before every answer of Jet,
    *at_once* is `starts_at_once` of every route, 0 where none says; *longest* is
    `polling.max_interval` where it is not *poll*, too. *notified*: 1 where Jet's
    notifications are subscribed to.
    """

    deliveries: int = 200
    jobs: int = 4
    seconds: float = 10.0
    poll: float = 1.0
    objects: int = 1
    latency: float = 0.0
    at_once: int = 0
    longest: float = 0.0
    notified: int = 0

    def commands(self) -> list[dict[str, Any]]:
        """Return the commands, over all jobs in turn."""
        return [
            a_command(f"c-{n}", f"job-{n % self.jobs}", objects=self._objects(n))
            for n in range(self.deliveries)
        ]

    def _objects(self, number: int) -> list[dict[str, Any]]:
        return [
            {"relativePath": f"/c-{number}/frame.{n:07}.dpx", "sizeInBytes": 1000}
            for n in range(self.objects)
        ]


@dataclass(frozen=True, slots=True)
class Cost:
    """What a burst took: milliseconds and calls a delivery, and seconds to wait."""

    who: str
    cpu: float
    calls: float
    starts: tuple[float, ...] = field(repr=False)
    ends: tuple[float, ...] = field(repr=False)

    @override
    def __str__(self) -> str:
        """Return a line for people."""
        return (
            f"{self.who}: {self.cpu:.1f} ms of CPU and {self.calls:.2f} calls to Jet a"
            f" delivery; started after {_shown(self.starts)}; ends seen {_shown(self.ends)}"
            " late"
        )


async def beside_the_peer(kafka: str, load: Load = Load()) -> tuple[Ratio, ...]:  # noqa: B008 -- frozen
    """Measure the plain peer and then the worker, print both, and return the ratios."""
    peer = await measured(kafka, load, "plain peer")
    worker = await measured(kafka, load, "worker")
    return (
        Ratio("the worker's CPU by the plain peer's", worker.cpu / peer.cpu, _MOST_CPU),
        Ratio(
            "the worker's calls to Jet by the plain peer's",
            worker.calls / peer.calls,
            _MOST_CALLS,
        ),
    )


async def measured(kafka: str, load: Load, who: str = "worker") -> Cost:
    """Let a worker, or the plain peer, carry a burst out against a sandbox of its own."""
    names = [f"job-{n}" for n in range(load.jobs)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = SandboxSettings(
            profiles={"A": folder, "B": folder},
            jobs=tuple(JobSeed(each, "A", "B") for each in names),
            tuning=Tuning(
                virtual_seconds=load.seconds, batch_size=max(100, load.objects)
            ),
        )
        async with Sandbox(settings) as jet:
            if load.latency:
                seconds = {"seconds": load.latency, "times": None}
                jet.faults.add({"operation": "*", "kind": "delay"} | seconds)
            ids = {str(each.name): str(each.job_id) for each in jet.world.jobs.values()}
            system = _system(kafka, jet, folder, ids, load)
            await system.create()
            try:
                run = _a_peer if who == "plain peer" else _a_worker
                async with run(system, jet, ids, load) as pid, _telling(jet, ids, load):
                    cost = await _burst(who, system, jet, load, pid)
            finally:
                await system.close()
    sys.stdout.write(f"{cost}\n")
    return cost


async def _burst(who: str, system: System, jet: Sandbox, load: Load, pid: int) -> Cost:
    calls, cpu = len(jet.ledger.requests), _cpu(pid)
    await system.publish(*load.commands())
    topics = system.config.topics
    started: dict[bytes, float] = {}
    ended: dict[bytes, float] = {}
    seen = 0

    async def all_ended() -> bool:
        nonlocal seen
        records = await system.read(topics.events)
        for each in records[seen:]:
            found = orjson.loads(each.value)
            told = {"started": started, "completed": ended}.get(found.get("state"))
            if told is not None and "transferId" not in found:
                told.setdefault(each.key, each.timestamp / 1000)
        seen = len(records)
        return len(ended) >= load.deliveries

    await until(
        all_ended, f"the end of a burst: {who}", 4 * PATIENCE + 2 * load.seconds
    )
    cpu, calls = _cpu(pid) - cpu, len(jet.ledger.requests) - calls
    sent = {x.key: x.timestamp / 1000 for x in await system.read(topics.commands)}
    return Cost(
        who,
        1000 * cpu / load.deliveries,
        calls / load.deliveries,
        tuple(started[key] - sent[key] for key in started),
        tuple(ended[key] - started[key] - load.seconds for key in ended),
    )


def _system(
    kafka: str, jet: Sandbox, folder: Path, ids: dict[str, str], load: Load
) -> System:
    keys = f", starts_at_once: {load.at_once}" if load.at_once else ""
    keys += ", notifications: true" if load.notified else ""
    routes = "".join(f"  {name}: {{job_id: {ids[name]}{keys}}}\n" for name in ids)
    port = _free_port()
    heard = {
        "JETWORKER_NOTIFICATIONS__PORT": str(port),
        "JETWORKER_NOTIFICATIONS__URL": f"http://127.0.0.1:{port}/jet",
        "JETWORKER_NOTIFICATIONS__SECRET": "a-secret-of-16-letters",
    }
    changes = {
        "JETWORKER_JET__BASE_URL": jet.base_url,
        "JETWORKER_JET__CLIENT_ID": "demo",
        "JETWORKER_JET__CLIENT_SECRET": "demo-secret",
        "JETWORKER_JET__REQUESTS_PER_SECOND": "5000",
        "JETWORKER_POLLING__MIN_INTERVAL": f"{load.poll:g}s",
        "JETWORKER_POLLING__MAX_INTERVAL": f"{load.longest or load.poll:g}s",
        "JETWORKER_LOG__LEVEL": "WARNING",
        **(heard if load.notified else {}),
    }
    return System(
        kafka, JetServer(), folder, f"routes:\n{routes}", changes, from_nothing=True
    )


@asynccontextmanager
async def _a_worker(
    system: System, _jet: Sandbox, _ids: dict[str, str], _load: Load
) -> AsyncIterator[int]:
    port = _free_port()
    worker = await system.worker(JETWORKER_HTTP__PORT=str(port))
    worker.port = port
    await until(lambda: _answers(worker), "a ready worker")
    yield worker.process.pid


@asynccontextmanager
async def _telling(
    jet: Sandbox, ids: dict[str, str], load: Load
) -> AsyncIterator[None]:
    """Let the sandbox look at its deliveries: what copies nothing changes when seen."""

    async def look() -> None:
        while load.notified:
            for each in ids.values():
                jet.world.refresh_open(jet.world.job(each))
            await asyncio.sleep(0.1)

    looking = asyncio.create_task(look())
    try:
        yield
    finally:
        looking.cancel()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


async def _answers(worker: WorkerProcess) -> bool:
    try:
        return (await worker.get("/readyz")).status_code == 200
    except httpx.TransportError:
        return False


@asynccontextmanager
async def _a_peer(
    system: System, jet: Sandbox, ids: dict[str, str], load: Load
) -> AsyncIterator[int]:
    topics = system.config.topics
    environ = {
        "PEER_KAFKA": system.kafka,
        "PEER_GROUP": f"peer-{uuid.uuid4()}",
        "PEER_COMMANDS": topics.commands,
        "PEER_EVENTS": topics.events,
        "PEER_JET": jet.base_url,
        "PEER_SECRET": "demo-secret",
        "PEER_JOBS": json.dumps(ids),
        "PEER_POLL": str(load.poll),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.benchmark.peer",
        env=os.environ | environ,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            assert await process.stdout.readline() == b"ready\n"
        yield process.pid
    finally:
        process.kill()
        await process.wait()


async def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmark.burst")
    for field_ in fields(Load):
        default = field_.default
        name = f"--{field_.name.replace('_', '-')}"
        parser.add_argument(name, type=type(default), default=default)
    parser.add_argument("--alone", action="store_true", help="without the plain peer")
    options = vars(parser.parse_args())
    alone = options.pop("alone")
    load = Load(**options)
    with EmbeddedKafka() as kafka:
        if alone:
            await measured(kafka.bootstrap_servers, load)
            return
        for ratio in await beside_the_peer(kafka.bootstrap_servers, load):
            sys.stdout.write(f"{ratio}\n")


def _cpu(pid: int) -> float:
    """Return the seconds of CPU that a process has used, as Linux tells them."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def tail(seconds: tuple[float, ...]) -> tuple[float, float]:
    """Return the median and the 99th percentile."""
    cuts = statistics.quantiles(seconds, n=100)
    return cuts[49], cuts[98]


def _shown(seconds: tuple[float, ...]) -> str:
    return "{:.2f} s (p50), {:.2f} s (p99)".format(*tail(seconds))


if __name__ == "__main__":
    asyncio.run(_main())
