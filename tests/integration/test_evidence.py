"""What the real worker makes of a lost start, on a Jet with each kind of listing."""

import asyncio
import re

import pytest

from tests.support.invariants import judge
from tests.support.jet.fake_server import JetServer
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
    jet.seconds, jet.queued = 0.5, 0.3
    listing, jet.listing = jet.listing, "all"
    worker = await (await system.worker()).ready()
    await system.publish(*(a_show(f"known-{n}") for n in range(KNOWN)))
    await system.terminal(KNOWN)
    jet.listing = listing
    await asyncio.sleep(2.0)  # they are older than settle then
    lost = iter([how])
    jet.fault = lambda operation, _: (
        next(lost, None) if operation == "start_delivery" else None
    )
    await system.publish(a_show(LOST))
    await until(lambda: next(lost, None) is None, "a lost start")
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


@pytest.mark.parametrize("listing", ["all", "newest:200"])
async def test_where_the_list_grows_a_start_that_never_came_is_made_again(
    system: System, listing: str
) -> None:
    system.jet.listing = listing

    worker, told = await live(system, "lost_before")

    await until(
        lambda: len(system.jet.creations().get("/show/lost.mov", ())) == 1, "it"
    )
    assert await held_for(worker) == set()
    assert {reason(e) for e in told} <= {"", "start_unknown"}


@pytest.mark.parametrize("listing", ["all", "newest:20", "running", "none"])
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


@pytest.mark.parametrize(
    ("listing", "proofs"),
    [
        ("none", {"nothing_listed"}),
        ("latest", {"few_known"}),
        ("running", {"few_known", "nothing_listed", "no_ended"}),
        ("newest:16", {"may_be_cut"}),
        ("oldest:14", {"gap", "not_fresh"}),
        ("ended", {"not_begun_unseen"}),
        ("behind:30", {"few_known", "nothing_listed", "not_fresh"}),
    ],
)
async def test_where_the_list_proves_nothing_it_is_held_and_says_why(
    system: System, listing: str, proofs: set[str]
) -> None:
    system.jet.listing = listing

    worker, told = await live(system, "lost_before")

    assert "/show/lost.mov" not in system.jet.creations()
    (held,) = [e for e in told if reason(e) == "held"]
    assert "jetworker resolve" in held.data["reason"]["message"]
    found = await held_for(worker)
    assert found
    assert found <= proofs


async def test_a_stranger_with_another_file_is_neither_adopted_nor_in_the_way(
    system: System,
) -> None:
    def visit(operation: str, server: JetServer) -> None:
        if operation == "start_delivery" and server.fault is not first:
            server.start("job-learned", [{"relativePath": "/show/other/lost.mov"}])
            server.on_headers = lambda _: None

    first = system.jet.fault
    system.jet.on_headers = lambda operation: visit(operation, system.jet)

    _, told = await live(system, "lost_before")

    await until(lambda: "/show/lost.mov" in system.jet.creations(), "it is made again")
    assert {reason(e) for e in told} <= {"", "start_unknown"}
    (stranger,) = system.jet.creations()["/show/other/lost.mov"]
    bound = {e.data.get("deliveryId") for e in await system.events()}
    assert stranger not in bound


async def test_every_command_around_a_lost_start_ends_once(system: System) -> None:
    await live(system, "lost_before")

    commands = [a_show(LOST)]
    events = await system.terminal(KNOWN + 1)
    ours = [e for e in events if e.key == LOST and not e.kind.startswith("command.")]
    assert ours[-1].kind == "delivery.completed"
    assert len(commands) == 1
    _ = judge
