"""
A worker killed or frozen at every point: nothing is lost, nothing is started twice.

Who is frozen wakes up when others have done all of its work. Points inside the worker are its own; those at which a start is on its way are seen from
Jet's side, where the kill comes from. A phase's points are tried at the same time, each
with topics and a Jet of its own: most of it is waiting for sessions to end.
"""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

import pytest

from jetworker.runtime.crash_points import CRASH_AT, FREEZE_AT, Point
from tests.integration.conftest import ROUTES
from tests.support.invariants import judge
from tests.support.jet.fake_server import JetServer
from tests.support.system import System, WorkerProcess, a_command
from tests.support.waiting import until

pytestmark = pytest.mark.integration

# The dead one's open transaction outlives the test, unless its successor ends it.
ENDLESS = {"JETWORKER_KAFKA__TRANSACTION_TIMEOUT": "15m"}


class Fate(StrEnum):
    """What becomes of a worker."""

    KILLED = "killed"
    FROZEN = "frozen"


SIGNALS = {Fate.KILLED: signal.SIGKILL, Fate.FROZEN: signal.SIGSTOP}
VARIABLES = {Fate.KILLED: CRASH_AT, Fate.FROZEN: FREEZE_AT}


class Sent(StrEnum):
    """What Jet has of a start when its sender is killed or frozen."""

    HEADERS = "headers sent"
    BODY = "body sent"
    APPLIED = "applied"


Where: TypeAlias = Point | Sent

PHASES: dict[str, tuple[Where, ...]] = {
    "restore": (Point.FENCED, Point.RESTORED, Point.REVOKED, Point.DRAINED),
    "intake": (
        Point.READ,
        Point.UNCOMMITTED,
        Point.ACCEPTED,
        Point.BEFORE_INTENT,
        Point.AFTER_INTENT,
    ),
    "start": (
        Point.CHECKED,
        *Sent,
        Point.ANSWERED,
        Point.AFTER_STARTED,
    ),
    "end": (Point.POLLED, Point.BEFORE_END, Point.AFTER_END),
    "look-up": (Point.DOUBTED, Point.SETTLED, Point.FOUND, Point.ADOPTED),
}
LOSING = frozenset(PHASES["look-up"])


@asynccontextmanager
async def a_system(kafka: str, folder: Path) -> AsyncIterator[System]:
    """Make a system of its own for one point."""
    folder.mkdir()  # noqa: ASYNC240 -- a temporary folder, at once
    async with JetServer() as jet:
        jet.add_job("archive", "job-archive")
        jet.add_job("other", "job-other")
        jet.add_job("nightly")
        system = await System(kafka, jet, folder, ROUTES, ENDLESS).create()
        try:
            yield system
        finally:
            await system.close()


def strike(jet: JetServer, where: Sent, victim: WorkerProcess, fate: Fate) -> None:
    """Let Jet strike a worker when it has so much of its first start."""
    doomed = iter([victim])

    def hit(operation: str) -> None:
        if operation == "start_delivery":
            for each in doomed:
                each.send(SIGNALS[fate])

    def fault(operation: str, _: JetServer) -> None:
        hit(operation)

    if where is Sent.HEADERS:
        jet.on_headers = hit
    elif where is Sent.BODY:
        jet.fault = fault
    else:
        jet.on_applied = hit


def lose_one(jet: JetServer) -> None:
    """Lose the answer to one start."""
    first = iter(["lost_after"])
    jet.fault = lambda operation, _: (
        next(first, None) if operation == "start_delivery" else None
    )


def is_struck(victim: WorkerProcess, fate: Fate) -> bool:
    """Whether what should become of it has."""
    if fate is Fate.KILLED:
        return victim.process.returncode == -signal.SIGKILL
    stat = Path(f"/proc/{victim.process.pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] == "T"


async def survives(system: System, where: Where, fate: Fate) -> None:
    """Strike a worker at a point of a delivery's life, and let another go on."""
    known = a_command("known")
    steady = await (await system.worker()).ready()
    await system.publish(known)
    await system.terminal(1)
    if where in LOSING:
        lose_one(system.jet)
    assert await steady.stop() == 0

    victim = await system.worker(**{VARIABLES[fate]: where})
    if isinstance(where, Sent):
        strike(system.jet, where, victim, fate)
    commands = [a_command(f"x-{n}") for n in range(4)]
    await system.publish(*commands)
    if where in {Point.REVOKED, Point.DRAINED}:
        await victim.ready()
        await system.worker()
    await until(lambda: is_struck(victim, fate), f"{fate} at {where}")
    await system.worker()
    await system.decided(5)
    if fate is Fate.FROZEN:
        victim.send(signal.SIGCONT)
        await victim.ready()
        assert await victim.stop() == 0

    events = await system.events()
    judge(events, [known, *commands], system.jet)
    assert {e.kind for e in events if e.is_terminal} == {"delivery.completed"}


async def try_all(
    kafka: str, folder: Path, points: tuple[Where, ...], fate: Fate
) -> None:
    """Try points at the same time; every one that fails is told."""
    async with AsyncExitStack() as stack:
        made: list[tuple[System, Where]] = []
        for where in points:
            opened = a_system(kafka, folder / where.replace(" ", "-"))
            made.append((await stack.enter_async_context(opened), where))
        async with asyncio.TaskGroup() as tasks:
            for system, where in made:
                tasks.create_task(survives(system, where, fate), name=where)


def test_every_point_is_tried() -> None:
    tried = {point for points in PHASES.values() for point in points}

    assert tried == {*Point, *Sent}


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("fate", Fate)
async def test_a_worker_that_meets_this_fate_in_this_phase_is_survived(
    kafka: str, tmp_path: Path, fate: Fate, phase: str
) -> None:
    await try_all(kafka, tmp_path, PHASES[phase], fate)


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("fate", Fate)
@pytest.mark.parametrize("_repetition", range(10))
async def test_this_fate_in_this_phase_is_survived_ten_times_over(
    kafka: str, tmp_path: Path, fate: Fate, phase: str, _repetition: int
) -> None:
    await try_all(kafka, tmp_path, PHASES[phase], fate)
