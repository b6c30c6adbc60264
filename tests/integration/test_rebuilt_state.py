"""A state that is made anew knows what was open, held and ended, and what lives where."""

from collections import Counter
from itertools import count
from typing import Any

import pytest

from jetworker.cli import rebuild
from jetworker.core.errors import StoreError
from jetworker.kafka import ownership
from jetworker.kafka.placing import place
from tests.support.invariants import judge
from tests.support.jet.fake_server import JetServer
from tests.support.operating import (
    audited,
    command,
    empty_state,
    grow,
    publish,
    remake,
    says,
)
from tests.support.system import System, a_command
from tests.support.waiting import until

pytestmark = [
    pytest.mark.integration,
    pytest.mark.nightly,
]
_MORE = 7


def before(command_id: str) -> int:
    """Place a key as a publisher of its own kind, by four partitions."""
    return sum(command_id.encode()) % 4


def after(command_id: str) -> int:
    """Place it by seven."""
    return (sum(command_id.encode()) + 1) % _MORE


def lose_starts(operation: str, _: JetServer) -> str | None:
    """Lose starts before they are applied."""
    return "lost_before" if operation == "start_delivery" else None


async def begun(system: System, name: str) -> list[str]:
    """Publish commands of which one stays open, two are held and two have ended."""
    place = before if system.partitions == 4 else after
    jet = system.jet
    ended = [f"{name}-ended-{n}" for n in range(2)]
    held = [f"{name}-held-{n}" for n in range(2)]
    await publish(system, map(a_command, ended), place)
    await until_told(system, ended, "completed")
    jet.seconds = 600.0
    await publish(system, [a_command(f"{name}-open")], place)
    await until_told(system, [f"{name}-open"], "in_progress")
    jet.seconds, jet.fault = 0.3, lose_starts
    await publish(system, map(a_command, held), place)
    await until_told(system, held, "held")
    jet.fault = lambda _operation, _server: None
    return [*ended, f"{name}-open", *held]


async def until_told(system: System, names: list[str], state: str) -> None:
    """Wait until the latest event of each command says this state, or reason."""

    async def is_told() -> bool:
        last = {e.key: e.data for e in await system.events() if "delivery." in e.kind}
        found = [last.get(name, {}) for name in names]
        return all(
            state in {each.get("state"), (each.get("reason") or {}).get("code")}
            for each in found
        )

    await until(is_told, f"{state} of {names}")


async def test_after_a_growth_too_a_rebuilt_state_answers_orders_and_repeats(
    system: System,
) -> None:
    """Each record that comes again comes to another partition than that which knows it."""
    system.changes = {
        "JETWORKER_STARTS__SETTLE": "500ms",
        "JETWORKER_STARTS__MAX_ATTEMPTS": "1",  # a lost one is held at once
    }
    topics = system.config.topics
    worker = await (await system.worker()).ready()
    old = await begun(system, "old")
    await worker.stop()
    await grow(system, _MORE, topics.commands, topics.state)
    worker = await (await system.worker()).ready()
    new = await begun(system, "new")
    await worker.stop()

    await remake(system, topics.state)
    done = await command(system, "state", "rebuild", "--yes")
    await (await system.worker()).ready()
    every = [a_command(name) for name in old + new]
    abandon = [
        {"commandId": f"{name}-held-0", "type": "resolve", "action": "abandon"}
        for name in ("old", "new")
    ]
    await publish(system, [*every, *abandon], after)
    adopt = {
        name: system.jet.start("job-archive", a_command(name)["objects"]).delivery_id
        for name in ("old-held-1", "new-held-1")
    }
    order = {"commandId": "new-held-1", "type": "resolve", "action": "adopt"}
    await publish(system, [order | {"deliveryId": adopt["new-held-1"]}], after)
    options = ("adopt", "--delivery-id", adopt["old-held-1"])
    adopted = await command(system, "resolve", "old-held-1", *options)
    for each in system.jet.deliveries.values():
        each.seconds = 0.0
    events = await system.terminal(len(every))

    async def are_answered() -> bool:
        answers = Counter(e.kind for e in await system.events() if "command." in e.kind)
        return answers == {"command.duplicate": len(every), "command.applied": 4}

    await until(are_answered, "the answers to repeats and orders")
    judge(events, every, system.jet)
    ends = {
        e.key: e.data["reason"] for e in events if e.is_terminal and e.data["reason"]
    }
    assert {name: reason["code"] for name, reason in ends.items()} == {
        "old-held-0": "abandoned",
        "new-held-0": "abandoned",
    }
    assert (done.code, adopted.code) == (0, 0), done.error + adopted.error
    assert done.output.count(" is empty") == _MORE
    assert f"{_MORE} partitions rebuilt" in done.output
    await audited(system)


async def test_where_a_part_of_a_state_that_has_grown_is_lost_only_that_is_rebuilt(
    system: System,
) -> None:
    """Of seven partitions three are lost: two of before the growth, and a new one."""
    topics, lost = system.config.topics, (1, 3, 5)
    worker = await (await system.worker()).ready()
    ended = [a_command(f"ended-{n}") for n in range(8)]
    await publish(system, ended, before)
    await until_told(system, [each["commandId"] for each in ended], "completed")
    system.jet.seconds = 600.0
    opened = [a_command(f"open-{n}") for n in range(8)]
    await publish(system, opened, before)
    await until_told(system, [each["commandId"] for each in opened], "in_progress")
    await worker.stop()
    await grow(system, _MORE, topics.commands, topics.state)
    worker = await (await system.worker()).ready()
    late = [a_command(f"late-{n}") for n in range(8)]
    await publish(system, late, after)
    await until_told(system, [each["commandId"] for each in late], "in_progress")
    await worker.stop()

    await empty_state(system, lost)
    worker = await system.worker()
    await says(worker, "state lost")
    meanwhile = a_command(f"served-{_of_partition(0)}")
    await publish(system, [meanwhile], lambda _: 0)
    await until_told(system, [meanwhile["commandId"]], "in_progress")
    metrics = (await worker.get("/metrics")).text
    assert f"jetworker_state_lost_partitions {len(lost)}.0" in metrics
    await worker.stop()
    done = await command(system, "state", "rebuild", "--yes")
    every = [*ended, *opened, *late, meanwhile]
    await (await system.worker()).ready()
    await publish(system, every, after)
    for each in system.jet.deliveries.values():
        each.seconds = 0.0
    events = await system.terminal(len(every))

    async def are_answered() -> bool:
        answers = Counter(e.kind for e in await system.events() if "command." in e.kind)
        return answers == {"command.duplicate": len(every)}

    await until(are_answered, "the answers to repeats")
    judge(events, every, system.jet)
    assert done.code == 0, done.error
    assert [line for line in done.output.splitlines() if "is empty" in line] == [
        line
        for number in lost
        for line in done.output.splitlines()
        if f"partition {number}: it is empty" in line
    ]
    assert f"{len(lost)} partitions rebuilt" in done.output
    await audited(system)


def _of_partition(number: int) -> int:
    """Return which `served-N` is at home on a partition."""
    names = (f"served-{n}".encode() for n in count())
    return next(n for n, name in enumerate(names) if place(name, _MORE) == number)


async def test_what_others_have_written_while_it_was_asked_for_is_not_written_over(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the question and the yes somebody else has rebuilt it and gone on."""
    topics = system.config.topics
    worker = await (await system.worker()).ready()
    system.jet.seconds = 600.0
    await system.publish(a_command("open"))
    await until_told(system, ["open"], "in_progress")
    await worker.stop()
    await remake(system, topics.state)

    async def put_back_late(*given: Any, **named: Any) -> None:
        monkeypatch.undo()
        done = await command(system, "state", "rebuild", "--yes")
        assert done.code == 0, done.error
        for each in system.jet.deliveries.values():
            each.seconds = 0.0
        other = await (await system.worker()).ready()
        await system.terminal(1)
        await other.stop()
        await ownership.put_back(*given, **named)

    monkeypatch.setattr(rebuild, "put_back", put_back_late)
    with pytest.raises(StoreError, match="somebody has written it meanwhile"):
        await rebuild.run(system.config, dry_run=False, is_agreed=True, as_json=False)
    await (await system.worker()).ready()
    await system.publish(a_command("open"))

    async def is_answered() -> bool:
        return any(e.kind == "command.duplicate" for e in await system.events())

    await until(is_answered, "the answer to a repeat")
    judge(await system.terminal(1), [a_command("open")], system.jet)
    await audited(system)
