"""What goes wrong with some commands does not slow the others: with figures."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import ROUTES
from tests.support.figures import waits
from tests.support.jet.fake_server import JetServer
from tests.support.system import System, a_command

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


@pytest.fixture
async def calm(kafka: str, jet: JetServer, tmp_path: Path) -> AsyncIterator[System]:
    """Return a system for the same commands without anything going wrong."""
    folder = tmp_path / "calm"
    folder.mkdir()
    made = await System(kafka, jet, folder, ROUTES).create()
    try:
        yield made
    finally:
        await made.close()


async def seconds_to_start(system: System, commands: Sequence[dict[str, Any]]) -> float:
    """Publish and return how long the slowest took from its record to its start."""
    wanted = {command["commandId"] for command in commands}
    await system.publish(*commands)
    while True:
        found = await waits(system, await system.events())
        if found.keys() >= wanted:
            return max(found[command_id] for command_id in wanted)
        await asyncio.sleep(0.05)


async def test_paused_slow_and_dead_jobs_and_poison_do_not_slow_the_others(
    system: System, calm: System
) -> None:
    await (await calm.worker()).ready()
    alone = await seconds_to_start(calm, [a_command(f"calm-{n}") for n in range(40)])
    await (await system.worker()).ready()
    jet = system.jet
    jet.jobs["job-other"].paused = True
    slow = next(job.job_id for job in jet.jobs.values() if job.name == "nightly")
    jet.delays[slow] = 2.0
    bad: list[dict[str, Any] | bytes] = [b"{poison"] * 100
    for n in range(30):
        bad.append(a_command(f"paused-{n}", "waiting-paused"))
        bad.append(a_command(f"slow-{n}", "by-name"))
        bad.append(a_command(f"gone-{n}", "gone"))
        bad.append(a_command(f"unnamed-{n}", "unnamed"))
    await system.publish(*bad)

    beside = await seconds_to_start(system, [a_command(f"well-{n}") for n in range(40)])

    assert beside < 2 * alone + 0.5, f"{beside:.2f} s, {alone:.2f} s alone"
    states = {e.key: e.kind for e in await system.events()}
    assert {states[f"paused-{n}"] for n in range(30)} == {"delivery.waiting"}
    assert jet.count("start_delivery") < 200
