"""Whose event loop it is changes nothing: that of uvloop, or asyncio's without it."""

import json
from pathlib import Path

import pytest

from tests.support.invariants import judge
from tests.support.system import System, WorkerProcess, a_command
from tests.support.waiting import until

pytestmark = pytest.mark.integration


def loop_of(worker: WorkerProcess) -> str:
    """Return whose loop a worker says that it has."""
    lines = (json.loads(line) for line in worker.log.read_text().splitlines())
    return next(str(line["event_loop"]) for line in lines if "event_loop" in line)


async def test_a_worker_without_uvloop_takes_over_from_one_with_it(
    system: System, tmp_path: Path
) -> None:
    (tmp_path / "uvloop.py").write_text("raise ImportError")
    commands = [a_command(f"l-{n}") for n in range(40)]

    with_it, without = (
        await system.worker(),
        await system.worker(PYTHONPATH=str(tmp_path)),
    )
    for worker in (with_it, without):
        await worker.ready()
    await system.publish(*commands)
    await until(lambda: len(system.jet.deliveries) > 10, "ten starts")
    codes = [await with_it.stop()]
    events = await system.terminal(40)
    codes.append(await without.stop())

    judge(events, commands, system.jet)
    assert [loop_of(each) for each in (with_it, without)] == ["uvloop", "asyncio"]
    assert codes == [0, 0]
    assert not [e for e in events if e.kind == "delivery.uncertain"]
