"""The commands topic grows: what is known stays known, wherever it arrives from then on."""

from collections import Counter
from signal import SIGCONT, SIGSTOP
from typing import Any

import pytest

from tests.support.invariants import judge
from tests.support.operating import audited, grow, publish, says
from tests.support.system import System, a_command
from tests.support.waiting import until

pytestmark = pytest.mark.integration
_MORE = 7


async def answered(system: System, expected: dict[str, int]) -> None:
    """Wait until records have these answers, and no more of any kind."""

    async def is_answered() -> bool:
        return expected == Counter(
            event.kind
            if event.kind != "command.rejected"
            else event.data["reason"]["code"]
            for event in await system.events()
            if event.kind.startswith("command.")
        )

    await until(is_answered, f"the answers {expected}")


def before(command_id: str) -> int:
    """Place a key as a publisher of its own kind, by four partitions."""
    return sum(command_id.encode()) % 4


def after(command_id: str) -> int:
    """Place it by seven."""
    return (sum(command_id.encode()) + 1) % _MORE


async def test_what_was_accepted_before_a_growth_is_known_wherever_it_arrives(
    system: System,
) -> None:
    ended = [a_command(f"e-{n}") for n in range(10)]
    shut = [a_command(f"s-{n}", "shut") for n in range(6)]
    backlog = [a_command(f"b-{n}") for n in range(30)]
    fresh = [a_command(f"f-{n}") for n in range(10)]
    table = f"{system.name}.deliveries"
    system.changes = {"JETWORKER_TOPICS__DELIVERIES": table}
    await system.create()
    worker = await (await system.worker()).ready()
    await publish(system, [*ended, *shut], before)
    await system.terminal(len(ended))
    await worker.stop()

    await publish(system, backlog, before)
    await grow(system, _MORE, system.config.topics.commands, system.config.topics.state)
    await publish(system, [*ended, *backlog, *shut], after)
    other = {**ended[0], "metadata": {"other": True}}
    orders = [{"commandId": each["commandId"], "type": "cancel"} for each in shut]
    await publish(system, [other, *orders, *fresh], after)
    workers = [await system.worker(), await system.worker()]
    for each in workers:
        await each.ready()
    events = await system.terminal(len([*ended, *shut, *backlog, *fresh]))

    judge(events, [*ended, *shut, *backlog, *fresh], system.jet)
    again = len([*ended, *backlog, *shut])
    once = {"command.duplicate": again, "conflict": 1, "command.applied": len(shut)}
    await answered(system, once)

    await publish(system, [*ended, *backlog, *shut, *fresh], before)
    workers[0].kill()
    twice = once | {"command.duplicate": 2 * again + len(fresh)}
    await answered(system, twice)
    judge(await system.events(), [*ended, *shut, *backlog, *fresh], system.jet)
    await audited(system)
    told = await system.read(system.config.topics.events)
    latest = {each.key: (each.partition, each.value) for each in told if _is_row(each)}
    rows = await system.read(table)
    assert {row.key: (row.partition, row.value) for row in rows} == latest
    assert len(rows) == sum(_is_row(each) for each in told)


async def test_while_a_partition_has_not_taken_note_of_a_growth_readyz_says_so(
    system: System,
) -> None:
    """Those of a worker that is frozen take no note until it wakes up or is left out."""
    workers = [await system.worker(), await system.worker()]
    for each in workers:
        await each.ready()
    first = [a_command(f"n-{n}") for n in range(8)]
    await publish(system, first, before)
    await system.terminal(len(first))

    workers[0].process.send_signal(SIGSTOP)
    await grow(system, _MORE, system.config.topics.commands, system.config.topics.state)
    await says(workers[1], "the topics have grown, and commands wait until every")
    workers[0].process.send_signal(SIGCONT)
    for each in workers:
        await each.ready()
    await publish(system, first, after)

    await answered(system, {"command.duplicate": len(first)})
    judge(await system.events(), first, system.jet)
    await audited(system)


def _is_row(event: Any) -> bool:
    """Whether an event is about a delivery itself: each of these steps tells one."""
    return b".delivery." in (dict(event.headers)["ce_type"])
