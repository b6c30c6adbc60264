"""What goes wrong with some commands does not keep the others from their starts."""

from typing import Any

import pytest

from tests.support.system import System, a_command
from tests.support.waiting import until

pytestmark = pytest.mark.integration


async def test_paused_silent_and_dead_jobs_and_poison_hold_nobody_else_up(
    system: System,
) -> None:
    """One job's calls have no end, so that whoever waits for one waits for good."""
    system.changes = {"JETWORKER_JET__REQUEST_TIMEOUT": "10m"}
    await (await system.worker()).ready()
    jet = system.jet
    jet.jobs["job-other"].paused = True
    silent = next(job.job_id for job in jet.jobs.values() if job.name == "nightly")
    jet.delays[silent] = 3600.0
    bad: list[dict[str, Any] | bytes] = [b"{poison"] * 100
    for n in range(30):
        bad.append(a_command(f"paused-{n}", "waiting-paused"))
        bad.append(a_command(f"silent-{n}", "by-name"))
        bad.append(a_command(f"gone-{n}", "gone"))
        bad.append(a_command(f"unnamed-{n}", "unnamed"))
    await system.publish(*bad)
    await system.publish(*(a_command(f"well-{n}") for n in range(40)))
    states: dict[str | None, str] = {}

    async def all_are_where_they_belong() -> bool:
        states.update({e.key: e.kind for e in await system.events()})
        well = {states.get(f"well-{n}") for n in range(40)}
        paused = {states.get(f"paused-{n}") for n in range(30)}
        return well == {"delivery.completed"} and paused == {"delivery.waiting"}

    await until(all_are_where_they_belong, "the ends of those that are well")

    assert not [key for key in jet.creations() if "silent" in key]
    assert jet.count("start_delivery") < 200
