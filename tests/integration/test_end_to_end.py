"""The main job, on real parts: commands in, deliveries at Jet, events out."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.jet_server import JetServer
from tests.system import System, a_command

pytestmark = pytest.mark.integration

ROUTES = """
routes:
  archive: {job_id: job-archive}
  by-name: {job_name: nightly}
  by-profiles: {source: London, destination: Paris, job_name: created}
"""


@pytest.fixture
async def system(kafka: str, tmp_path: Path) -> AsyncIterator[System]:
    async with JetServer() as jet:
        jet.add_job("archive", "job-archive")
        jet.add_job("nightly")
        made = await System(kafka, jet, tmp_path, ROUTES).create()
        try:
            yield made
        finally:
            await made.close()


async def test_commands_over_three_routes_end_once_each(system: System) -> None:
    routes = ("archive", "by-name", "by-profiles")
    commands = [a_command(f"c-{n}", routes[n % 3]) for n in range(30)]
    for worker in [await system.worker(), await system.worker()]:
        await worker.ready()

    await system.publish(*commands)
    events = await system.terminal(30)

    ended = [event.data["commandId"] for event in events if event.is_terminal]
    assert sorted(ended) == sorted(c["commandId"] for c in commands)
    assert all(len(made) == 1 for made in system.jet.creations().values())
