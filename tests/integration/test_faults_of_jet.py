"""What Jet may do wrong: each with what is told of it and the metric that shows it."""

import re
from collections.abc import Iterator

import pytest
from aiohttp import web

from tests.support.invariants import judge
from tests.support.jet.fake_server import JetServer
from tests.support.system import System, WorkerProcess, a_command
from tests.support.waiting import until

pytestmark = pytest.mark.integration


async def metric(worker: WorkerProcess, series: str) -> float:
    """Return the sum of the series whose line begins so (a pattern)."""
    lines = (await worker.get("/metrics")).text.splitlines()
    found = [float(line.rpartition(" ")[2]) for line in lines if re.match(series, line)]
    assert found, f"no such series: {series}"
    return sum(found)


def no_answers() -> Iterator[web.Response]:
    """Yield what a question may be answered with that is no answer."""
    yield web.Response(text="<html>welcome</html>", content_type="text/html")
    yield web.Response(text='{"state": "COMPL', content_type="application/json")
    yield web.json_response({"state": 7, "transfers": "none", "items": {"a": 1}})
    yield web.json_response([1, 2, 3])
    yield web.json_response({"message": "oops"}, status=500)
    yield web.Response(status=502, text="bad gateway")
    yield web.json_response({}, status=503, headers={"Retry-After": "0"})
    yield web.json_response({}, status=404)
    yield web.Response(body=b"\xff\xfe\x00", content_type="application/json")


async def test_answers_that_are_none_end_nothing(system: System) -> None:
    asked = {"get_delivery", "list_transfers", "get_transfer"}
    bad = {operation: no_answers() for operation in asked}
    system.jet.fault = lambda operation, _: next(bad.get(operation, iter(())), None)
    worker = await (await system.worker()).ready()
    commands = [a_command(f"g-{n}") for n in range(3)]

    await system.publish(*commands)
    events = await system.terminal(3)

    judge(events, commands, system.jet)
    assert {e.kind for e in events if e.is_terminal} == {"delivery.completed"}
    requests = "jetworker_jet_requests_total"
    assert await metric(worker, rf'{requests}{{operation=.*,outcome="500"}}') > 0


async def end_after_a_listing(system: System) -> None:
    """Let what goes on end when a listing was asked for."""
    await until(lambda: system.jet.count("list_transfers"), "a listing")
    system.jet.seconds = 0.3
    for each in system.jet.deliveries.values():
        each.seconds = 0.3


@pytest.mark.parametrize("status", [404, 500])
async def test_a_jet_that_lists_no_transfers_hides_no_end(
    system: System, status: int
) -> None:
    system.jet.seconds = 3600
    system.jet.fault = lambda operation, _: (
        web.Response(status=status) if operation == "list_transfers" else None
    )
    await (await system.worker()).ready()
    commands = [a_command(f"n-{n}") for n in range(2)]

    await system.publish(*commands)
    await end_after_a_listing(system)
    events = await system.terminal(2)

    judge(events, commands, system.jet)


async def test_a_transfer_that_is_listed_for_ever_hides_no_end(system: System) -> None:
    def list_all(operation: str, server: JetServer) -> web.Response | None:
        if operation != "list_transfers":
            return None
        going_on = {"state": "IN_PROGRESS"}
        items = [each.transfer() | going_on for each in server.deliveries.values()]
        return web.json_response({"items": items})

    system.jet.seconds = 3600
    system.jet.fault = list_all
    await (await system.worker(JETWORKER_POLLING__MAX_INTERVAL="300ms")).ready()
    commands = [a_command(f"l-{n}") for n in range(3)]

    await system.publish(*commands)
    await end_after_a_listing(system)
    events = await system.terminal(3)

    judge(events, commands, system.jet)


async def test_an_unknown_state_is_in_progress_and_warned_of(system: System) -> None:
    worker = await (await system.worker()).ready()

    def teleport(_operation: str) -> None:
        """Before anybody can ask how it ends."""
        for each in system.jet.deliveries.values():
            each.end_state = "TELEPORTING"

    system.jet.on_applied = teleport
    await system.publish(a_command("u-1"))

    await until(lambda: "TELEPORTING" in worker.log.read_text(), "a warning")
    system.jet.on_applied = lambda _operation: None
    (made,) = system.jet.deliveries.values()
    told = {event.kind for event in await system.events()}
    assert await metric(worker, "jetworker_jet_unknown_states_total") > 0
    made.end_state = "COMPLETED"
    events = await system.terminal(1)

    judge(events, [a_command("u-1")], system.jet)
    assert not told & {"delivery.completed", "delivery.failed"}
    assert events[-1].kind == "delivery.completed"


async def test_expired_tokens_are_renewed_one_at_a_time(system: System) -> None:
    asked = expired = 0

    def expire(_operation: str, _server: JetServer) -> str | None:
        nonlocal asked, expired
        asked += 1
        if asked % 25:
            return None
        expired += 1
        return "expire"

    worker = await (await system.worker()).ready()
    system.jet.fault = expire
    commands = [a_command(f"e-{n}") for n in range(40)]
    await system.publish(*commands)
    events = await system.terminal(40)

    judge(events, commands, system.jet)
    assert {e.kind for e in events if e.is_terminal} == {"delivery.completed"}
    assert expired > 3
    assert system.jet.count("token") <= 2 * (expired + 1)
    requests = "jetworker_jet_requests_total"
    assert await metric(worker, rf'{requests}{{operation=.*,outcome="401"}}') > 0


async def test_starts_wait_while_jet_is_down_and_none_is_uncertain(
    system: System,
) -> None:
    worker = await (await system.worker()).ready()
    await system.jet.down()
    commands = [a_command(f"d-{n}") for n in range(10)]
    await system.publish(*commands)

    async def waiting() -> int:
        found = [e for e in await system.events() if e.kind == "delivery.waiting"]
        codes = {event.data["reason"]["code"] for event in found}
        assert codes <= {"jet_unavailable"}
        return len(found) == len(commands)

    await until(waiting, "ten that wait")
    waited = r'jetworker_deliveries_active{.*state="waiting"}'

    async def all_wait() -> bool:
        """Not so while one of them is being tried."""
        return await metric(worker, waited) == len(commands)

    await until(all_wait, "ten that are counted as waiting")
    await system.jet.up()
    events = await system.terminal(len(commands))

    judge(events, commands, system.jet)
    assert "delivery.uncertain" not in {event.kind for event in events}
    assert {event.data.get("attempt") for event in events if event.is_terminal} == {1}


async def test_starts_that_jet_applies_late_are_adopted(system: System) -> None:
    worker = await (await system.worker()).ready()
    known = [a_command(f"k-{n}") for n in range(2)]
    await system.publish(*known)
    await system.terminal(2)

    system.jet.lateness = 1.5
    late = [a_command(f"late-{n}") for n in range(2)]
    await system.publish(*late)
    events = await system.terminal(4)

    judge(events, known + late, system.jet)
    adopted = [e.key for e in events if e.kind == "delivery.started"]
    assert sorted(map(str, adopted)) == ["k-0", "k-1", "late-0", "late-1"]
    assert {e.data["attempt"] for e in events if e.is_terminal} == {1}
    settled = 'jetworker_uncertain_starts_total{resolution="adopted",route="archive"}'
    assert await metric(worker, re.escape(settled)) == 2


async def test_a_person_s_delivery_is_never_taken_for_ours(system: System) -> None:
    """On a job whose route does not say that nobody else starts deliveries there."""
    worker = await (await system.worker()).ready()
    shared = "waiting-paused"
    mine = a_command("mine", shared)
    known = [a_command(f"k-{n}", shared) for n in range(2)]
    await system.publish(*known)
    await system.terminal(2)

    def lose(operation: str, server: JetServer) -> str | None:
        if operation != "start_delivery":
            return None
        server.fault = lambda _operation, _server: None
        server.start("job-other", [{"relativePath": "/theirs.mov"}])
        return "lost_before"

    system.jet.fault = lose
    await system.publish(mine)

    async def held() -> bool:
        found = [e for e in await system.events() if e.key == "mine"]
        return bool(found) and (found[-1].data["reason"] or {}).get("code") == "held"

    await until(held, "a held command")
    assert await metric(worker, r'jetworker_deliveries_active{.*state="held"}') == 1
    order = {"commandId": "mine", "type": "resolve", "action": "resend"}
    await system.publish(order)
    events = await system.terminal(3)

    judge(
        [event for event in events if not event.kind.startswith("command.")],
        [*known, mine],
        system.jet,
    )
    (theirs,) = system.jet.creations()["/theirs.mov"]
    assert theirs not in {event.data.get("deliveryId") for event in events}


async def test_where_only_the_latest_is_listed_nothing_is_started_twice(
    system: System,
) -> None:
    system.jet.listing = "latest"
    for worker in [await system.worker(), await system.worker()]:
        await worker.ready()
    known = [a_command(f"k-{n}") for n in range(2)]
    await system.publish(*known)
    await system.terminal(2)
    lost = iter(["lost_after", "lost_before", "lost_after", "lost_before"])
    system.jet.fault = lambda operation, _: (
        next(lost, None) if operation == "start_delivery" else None
    )

    commands = [a_command(f"o-{n}") for n in range(12)]
    await system.publish(*commands)

    async def over() -> bool:
        last = {e.key: e for e in await system.events() if e.key}
        return len(last) == 14 and all(
            e.is_terminal or (e.data["reason"] or {}).get("code") == "held"
            for e in last.values()
        )

    await until(over, "an end or a hold of all")
    assert next(lost, None) is None
    assert max(map(len, system.jet.creations().values())) == 1
