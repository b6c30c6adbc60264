"""Starts whose answer is lost: adopted, started again with a witness, or held."""

import random
from typing import Any

import pytest
from aiohttp import web

from tests.support.invariants import judge
from tests.support.jet.fake_server import JetServer
from tests.support.system import Event, System, a_command
from tests.support.waiting import until

pytestmark = pytest.mark.integration


class LosesStarts:
    """Loses a share of the answers to starts, before or after applying them."""

    def __init__(self, share: float, how: tuple[str, ...], seed: int = 1) -> None:
        self._share = share
        self._how = how
        self._luck = random.Random(seed)
        self.lost = 0

    def __call__(self, operation: str, _server: JetServer) -> str | None:
        if operation != "start_delivery" or self._luck.random() >= self._share:
            return None
        self.lost += 1
        return self._luck.choice(self._how)


def of(events: list[Event], command_id: str) -> list[Event]:
    """Return the numbered events of one command."""
    return [
        e
        for e in events
        if e.key == command_id and e.kind.startswith(("delivery.", "transfer."))
    ]


def in_a_folder(command_id: str, route: str) -> dict[str, Any]:
    """Return a command to send one file in a folder."""
    path = f"/show/{command_id}.mov"
    objects = [{"relativePath": path, "sizeInBytes": 1000}]
    return a_command(command_id, route, objects=objects)


async def test_of_many_lost_answers_every_command_ends_completed_and_once(
    system: System,
) -> None:
    routes = ("archive", "by-name", "by-profiles")
    commands = [in_a_folder(f"l-{n}", routes[n % 3]) for n in range(30)]
    # Three of each job teach how it shows files; then these settle what is lost at once.
    known = [in_a_folder(f"w-{n}-{r}", r) for n in range(3) for r in routes]
    for worker in [await system.worker() for _ in range(3)]:
        await worker.ready()
    await system.publish(*known)
    await system.terminal(len(known))
    faults = LosesStarts(0.3, ("lost_before", "lost_after"))
    system.jet.fault = faults

    await system.publish(*commands)
    events = await system.terminal(len(commands) + len(known))

    judge(events, commands + known, system.jet)
    assert faults.lost > 5
    assert {e.kind for e in events if e.is_terminal} == {"delivery.completed"}


async def test_where_nothing_was_started_before_later_starts_are_the_witnesses(
    system: System,
) -> None:
    routes = ("archive", "by-name", "by-profiles")
    commands = [a_command(f"f-{n}", routes[n % 3]) for n in range(30)]
    lost: set[str] = set()

    def lose_the_first(operation: str, server: JetServer) -> str | None:
        path = server.requests[-1][2]
        if operation != "start_delivery" or path in lost:
            return None
        lost.add(path)
        return "lost_before"

    system.jet.fault = lose_the_first
    await (await system.worker()).ready()

    await system.publish(*commands)
    events = await system.terminal(len(commands))

    judge(events, commands, system.jet)
    assert len(lost) == 3
    assert {e.kind for e in events if e.is_terminal} == {"delivery.completed"}


async def test_without_a_listing_it_is_held_and_an_operator_adopts_it(
    system: System,
) -> None:
    system.jet.listing = "none"
    system.jet.seconds = 0.01
    worker = await (await system.worker()).ready()
    hidden = {"list_transfers", "list_files"}

    def fault(operation: str, server: JetServer) -> "web.Response | str | None":
        if operation in hidden:
            return web.json_response({"items": []})
        lost = operation == "start_delivery" and server.count(operation) == 1
        return "lost_after" if lost else None

    system.jet.fault = fault
    command = a_command("h-1", "waiting-paused")
    await system.publish(command)

    async def held() -> bool:
        return any(
            e.data["reason"] and e.data["reason"]["code"] == "held"
            for e in of(await system.events(), "h-1")
        )

    await until(held, "a held command")
    (delivery_id,) = system.jet.deliveries
    await system.publish({"commandId": "h-1", "type": "cancel"})
    wrong = {
        "commandId": "h-1",
        "type": "resolve",
        "action": "adopt",
        "deliveryId": "0-0",
    }
    await system.publish(wrong)

    async def refused() -> bool:
        return (
            len([e for e in await system.events() if e.kind == "command.rejected"]) == 2
        )

    await until(refused, "two rejected orders")
    await system.publish(wrong | {"deliveryId": delivery_id})
    events = await system.terminal(1)

    assert system.jet.count("start_delivery") == 1
    judge(
        [e for e in events if not e.kind.startswith("command.")], [command], system.jet
    )
    kinds = [e.kind for e in of(events, "h-1") if e.kind.startswith("delivery.")]
    assert kinds[:4] == [
        "delivery.accepted",
        "delivery.uncertain",
        "delivery.uncertain",
        "delivery.started",
    ]
    codes = [e.data["reason"]["code"] for e in events if e.kind == "command.rejected"]
    assert codes == ["not_cancellable", "not_adoptable"]
    assert [e.data["action"] for e in events if e.kind == "command.applied"] == [
        "adopt"
    ]
    metrics = (await worker.get("/metrics")).text
    assert (
        'uncertain_starts_total{resolution="held",route="waiting-paused"} 1.0'
        in metrics
    )
    assert (
        'uncertain_starts_total{resolution="adopted",route="waiting-paused"} 1.0'
        in metrics
    )


async def test_a_jet_that_shows_neither_files_nor_transfers_delays_no_adoption(
    system: System,
) -> None:
    first = iter(["lost_after"])

    def fault(operation: str, _server: JetServer) -> "web.Response | str | None":
        if operation in {"list_transfers", "list_files"}:
            return web.json_response({"message": "not found"}, status=404)
        return next(first, None) if operation == "start_delivery" else None

    system.jet.fault = fault
    await (await system.worker()).ready()

    await system.publish(a_command("n-1"))
    events = await system.terminal(1)

    told = [e.kind for e in of(events, "n-1") if e.kind.startswith("delivery.")]
    assert told.count("delivery.uncertain") == 1
    assert told[-1] == "delivery.completed"


async def test_a_route_that_says_hold_adopts_but_never_starts_again(
    system: System,
) -> None:
    await (await system.worker()).ready()
    await system.publish(a_command("w-1"), a_command("w-2"))
    await system.terminal(2)
    system.jet.fault = LosesStarts(1.0, ("lost_before",))

    await system.publish(a_command("h-2", "holding"))

    async def held() -> bool:
        return any(
            e.data["reason"] and e.data["reason"]["code"] == "held"
            for e in of(await system.events(), "h-2")
        )

    await until(held, "a held command")
    assert system.jet.count("start_delivery") == 3

    await system.publish({"commandId": "h-2", "type": "resolve", "action": "abandon"})
    events = await system.terminal(3)
    assert of(events, "h-2")[-1].data["reason"]["code"] == "abandoned"


async def test_a_route_that_says_resend_starts_again_at_once_and_says_so(
    system: System,
) -> None:
    await (await system.worker()).ready()
    first = iter(["lost_before"])
    system.jet.fault = lambda operation, _: (
        next(first, None) if operation == "start_delivery" else None
    )

    await system.publish(a_command("r-1", "resending"))
    events = await system.terminal(1)

    uncertain = next(e for e in events if e.kind == "delivery.uncertain")
    assert "a second delivery is possible" in uncertain.data["reason"]["message"]
    assert events[-1].data["attempt"] == 2


async def test_a_delivery_that_nobody_asked_for_is_reported_afterwards(
    system: System,
) -> None:
    worker = await (await system.worker()).ready()
    await system.publish(a_command("w-1"))
    await system.terminal(1)
    first = iter(["lost_before"])
    system.jet.fault = lambda operation, _: (
        next(first, None) if operation == "start_delivery" else None
    )
    await system.publish(a_command("c-1"))
    await system.terminal(2)

    late = system.jet.start("job-archive", a_command("c-1")["objects"])

    def is_reported() -> bool:
        log = worker.log.read_text()
        return "nobody asked for" in log and late.delivery_id in log

    await until(is_reported, "a report")
    metrics = (await worker.get("/metrics")).text
    assert 'unexplained_deliveries_total{route="archive"} 1.0' in metrics


async def test_a_killed_worker_s_start_is_looked_up_by_its_successor(
    system: System,
) -> None:
    first = await (await system.worker()).ready()
    await system.publish(a_command("w-1"))
    await system.terminal(1)

    def kill(operation: str, _server: JetServer) -> str | None:
        if operation == "start_delivery":
            first.kill()
            return "lost_after"
        return None

    system.jet.fault = kill
    command = a_command("c-1")
    await system.publish(command)
    await until(lambda: first.process.returncode is not None, "a killed worker")
    system.jet.fault = lambda _operation, _server: None
    await (await system.worker()).ready()

    events = await system.terminal(2)

    told = of(events, "c-1")
    assert [e.data["adopted"] for e in told if e.kind == "delivery.started"] == [True]
    judge(events, [a_command("w-1"), command], system.jet)
