"""What the real worker makes of a lost start that came, whatever the job lists."""

import asyncio
import re

import pytest

from tests.support.system import Event, System, WorkerProcess, a_command
from tests.support.waiting import until

pytestmark = pytest.mark.integration

# Nothing is stated of this job: what is believed of it has to be proven.
ROUTES = "routes: {learned: {job_id: job-learned}}\n"
KNOWN, LOST = 14, "lost"


def a_show(name: str) -> dict[str, object]:
    """Return a command for a file in a folder: three of them teach the path form."""
    path = f"/show/{name}.mov"
    objects = [{"relativePath": path, "sizeInBytes": 1000 + len(name)}]
    return a_command(name, "learned", objects=objects)


def reason(event: Event) -> str:
    """Return the code of an event's reason, empty if it has none."""
    return str((event.data.get("reason") or {}).get("code", ""))


async def live(system: System, how: str) -> tuple[WorkerProcess, list[Event]]:
    """
    Let a busy job lose one start, and go on; return when that start is settled.

    Some are known before. Then one is lost, and others follow, each a witness.
    """
    jet = system.jet
    jet.add_job("learned", "job-learned")
    (system.folder / "routes.yaml").write_text(ROUTES)
    system.changes = {"JETWORKER_STARTS__SETTLE": "1s"}
    jet.seconds, jet.queued = 2.2, 2.0
    listing, jet.listing = jet.listing, "all"
    worker = await (await system.worker()).ready()
    await system.publish(*(a_show(f"known-{n}") for n in range(KNOWN)))
    await system.terminal(KNOWN)
    jet.listing = listing
    await asyncio.sleep(2.0)  # they are older than settle then
    lost = [how]
    jet.fault = lambda operation, _: (
        lost.pop() if lost and operation == "start_delivery" else None
    )
    await system.publish(a_show(LOST))
    await until(lambda: not lost, "a lost start")
    found: list[Event] = []

    async def is_settled() -> bool:
        nonlocal found
        found = [e for e in await system.events() if e.key == LOST]
        return any(reason(e) == "held" or e.is_terminal for e in found)

    for number in range(60):
        if await is_settled():
            break
        await system.publish(a_show(f"later-{number}"))
        await asyncio.sleep(0.4)
    await until(is_settled, "the lost start is settled or held")
    return worker, found


async def held_for(worker: WorkerProcess) -> set[str]:
    """Return the proofs for which starts were held."""
    text = (await worker.get("/metrics")).text
    found = re.findall(
        r'^jetworker_held_starts_total\{proof="(\w+)",route="learned"\} 1\.0$',
        text,
        re.MULTILINE,
    )
    return set(found)


@pytest.mark.parametrize("listing", ["all", "none"])
async def test_where_files_tell_a_start_that_came_is_adopted_whatever_is_listed(
    system: System, listing: str
) -> None:
    system.jet.listing = listing

    worker, _ = await live(system, "lost_after")

    assert await held_for(worker) == set()
    (made,) = system.jet.creations()["/show/lost.mov"]
    events = [e for e in await system.events() if e.key == LOST]
    started = next(e for e in events if e.kind == "delivery.started")
    assert (started.data["deliveryId"], started.data["adopted"]) == (made, True)
