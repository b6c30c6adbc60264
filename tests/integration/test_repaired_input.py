"""Commands and offsets that are gone: it is told what, and nothing is started again."""

import json

import pytest

from tests.support.invariants import judge
from tests.support.operating import audited, cut, forget_group, publish
from tests.support.system import System, a_command
from tests.support.waiting import until

pytestmark = pytest.mark.integration


def by_number(command_id: str) -> int:
    """Place `e-0`, `e-1`, … in turn."""
    return int(command_id.partition("-")[2]) % 4


async def test_records_that_retention_took_and_offsets_that_are_deleted(
    system: System,
) -> None:
    """
    The group loses all its offsets, and the ids of what has ended are forgotten.

    Of partitions 0 and 1 retention takes records that nobody read; 2 and 3 have all
    theirs, the ended ones too.
    """
    ended = [a_command(f"e-{n}") for n in range(12)]
    worker = await (await system.worker(JETWORKER_DEDUPE_WINDOW="1s")).ready()
    await publish(system, ended, by_number)
    await system.terminal(len(ended))

    async def are_forgotten() -> bool:
        kept = await system.read(system.config.topics.state)
        return {each.key for each in kept if each.value is None} >= {
            each["commandId"].encode() for each in ended
        }

    await until(are_forgotten, "ids that are forgotten")
    await worker.stop()
    unread = [a_command(f"u-{n}") for n in range(12)]
    await publish(system, unread, by_number)
    await cut(system, {0: 5, 1: 5})
    await forget_group(system)
    left = [each for n, each in enumerate(unread) if n % 4 > 1 or n > 7]

    worker = await (await system.worker()).ready()
    events = await system.terminal(len(ended) + len(left))

    judge(events, [*ended, *left], system.jet)
    metrics = (await worker.get("/metrics")).text
    assert 'jetworker_input_gaps_total{cause="retention"} 2.0' in metrics
    assert "jetworker_commands_skipped_total 4.0" in metrics
    lines = [json.loads(line) for line in worker.log.read_text().splitlines()]
    gaps = [each for each in lines if "retention" in each["event"]]
    assert sorted(
        (each["level"], *(each[n] for n in ("partition", "first", "last", "offsets")))
        for each in gaps
    ) == [("error", 0, 3, 4, 2), ("error", 1, 3, 4, 2)]
    await audited(system)
