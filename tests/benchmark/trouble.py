"""How long commands wait for their starts beside trouble, by how long they do alone."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.benchmark.ratios import Ratio
from tests.support.figures import waits
from tests.support.jet.fake_server import JetServer
from tests.support.system import System, a_command
from tests.support.waiting import until

_WELL = 40
_MOST = 10.0  # one that waits for the slow job's thirty calls would be at a hundred
_ROUTES = """
routes:
  well: {job_id: job-well}
  slow: {job_id: job-slow}
  paused: {job_id: job-paused}
  gone: {job_id: job-gone}
"""


async def beside(kafka: str) -> Ratio:
    """Return the slowest start beside a slow, a paused and a dead job and poison."""
    alone = await _slowest(kafka, [])
    bad: list[dict[str, Any] | bytes] = [b"{poison"] * 100
    for n in range(30):
        bad += [a_command(f"{r}-{n}", r) for r in ("slow", "paused", "gone")]
    found = await _slowest(kafka, bad)
    return Ratio(
        "the slowest start beside trouble, by that without", found / alone, _MOST
    )


async def _slowest(kafka: str, bad: Sequence[dict[str, Any] | bytes]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        async with JetServer() as jet:
            for name in ("well", "slow", "paused"):
                jet.add_job(name, f"job-{name}")
            jet.jobs["job-paused"].paused = True
            jet.delays["job-slow"] = 2.0
            system = await System(kafka, jet, Path(folder), _ROUTES).create()
            try:
                await (await system.worker()).ready()
                await system.publish(*bad)
                return await _waited(system)
            finally:
                await system.close()


async def _waited(system: System) -> float:
    wanted = {f"well-{n}" for n in range(_WELL)}
    found: dict[str, float] = {}
    await system.publish(*(a_command(command_id, "well") for command_id in wanted))

    async def all_started() -> bool:
        found.update(await waits(system, await system.events()))
        return found.keys() >= wanted

    await until(all_started, "the starts of those that are well")
    return max(found[command_id] for command_id in wanted)
