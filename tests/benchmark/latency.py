"""One worker on this machine as it is now, and how long things take: no judgement."""

import asyncio
import re
import statistics
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tests.support.figures import waits
from tests.support.invariants import judge
from tests.support.jet.fake_server import JetServer
from tests.support.system import Event, System, WorkerProcess, a_command

_COMMANDS = 300
_EVERY = 0.1
_ROUTES = """
routes:
  one: {job_id: job-1}
  two: {job_id: job-2}
  three: {job_id: job-3}
"""


async def tell(kafka: str) -> None:
    """Start everything, publish at an even pace, and print the figures."""
    with tempfile.TemporaryDirectory() as folder:
        async with JetServer(seconds=2.0) as jet:
            for n in (1, 2, 3):
                jet.add_job(f"job {n}", f"job-{n}")
            system = System(kafka, jet, Path(folder), _ROUTES, from_nothing=True)
            await system.create()
            try:
                worker = await (await system.worker()).ready()
                await _run(system, worker)
            finally:
                await system.close()


async def _run(system: System, worker: WorkerProcess) -> None:
    commands = [
        a_command(f"c-{n}", ("one", "two", "three")[n % 3]) for n in range(_COMMANDS)
    ]
    for command in commands:
        await system.publish(command)
        await asyncio.sleep(_EVERY)  # that is how much the load is
    events = await system.terminal(_COMMANDS)
    judge(events, commands, system.jet)
    starts = (await waits(system, events)).values()
    _tell("command to delivery.started", starts)
    _tell("Jet's answer that it is over to delivery.completed", _told(system, events))
    await _tell_commits(worker)


def _told(system: System, events: Iterable[Event]) -> list[float]:
    ended_at = system.jet.ended_at
    return [
        event.at / 1000 - ended_at[event.data["deliveryId"]]
        for event in events
        if event.kind == "delivery.completed"
    ]


async def _tell_commits(worker: WorkerProcess) -> None:
    text = (await worker.get("/metrics")).text
    found = re.findall(
        r'kafka_commit_duration_seconds_bucket{le="([^"]+)"} (\S+)', text
    )
    total = float(found[-1][1])
    for limit, count in found:
        sys.stdout.write(f"{float(count) / total:>7.1%} of commits within {limit} s\n")


def _tell(what: str, seconds: Iterable[float]) -> None:
    cuts = statistics.quantiles(seconds, n=100)
    shown = ", ".join(f"p{n} {1000 * cuts[n - 1]:.0f} ms" for n in (50, 95, 99))
    sys.stdout.write(f"{what}: {shown}\n")
