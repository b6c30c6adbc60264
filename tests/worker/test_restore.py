"""Who takes over 100,000 snapshots goes on beating its heart: the loop is never long busy."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from itertools import pairwise

from typing_extensions import override

from jetworker.core.command import CommandId
from jetworker.core.delivery import Delivery, State
from jetworker.core.evidence import LEARNED_FROM
from jetworker.core.finished import finish
from jetworker.wire import snapshots
from jetworker.wire.snapshots import Snapshot
from tests.support.builders import NOW, SECOND, a_delivery
from tests.support.fakes import HandClock
from tests.support.life import Life

NUMBER = 200
MILLISECOND = 0.001
MOST = 12  # in a slice of ten milliseconds, where each takes one of them


class Slow(HandClock):
    """A millisecond goes by whenever it is asked: that is how long everything takes."""

    @override
    def monotonic(self) -> float:
        self.at += MILLISECOND
        return self.at


def waiting(number: int) -> list[Delivery]:
    ids = (CommandId(f"c-{n}") for n in range(number))
    return [a_delivery(State.ACCEPTED, command_id=each) for each in ids]


async def taken_over(deliveries: Sequence[Snapshot]) -> Life:
    restored = Life(clock=Slow())
    await restored.partition.restore(
        {each.command_id.encode(): snapshots.encode(each) for each in deliveries}
    )
    return restored


async def longest(
    work: Coroutine[object, object, None], done: Callable[[], int]
) -> int:
    """Return how much was done at the most between two turns of the loop."""
    seen = [done()]

    async def beat() -> None:
        while True:
            seen.append(done())
            await asyncio.sleep(0)

    heart = asyncio.create_task(beat())
    await work
    heart.cancel()
    with suppress(asyncio.CancelledError):
        await heart
    return max(after - before for before, after in pairwise([*seen, done()]))


async def test_snapshots_are_taken_up_a_slice_of_time_at_once() -> None:
    restored = Life(clock=Slow())
    partition = restored.partition
    latest = {x.command_id.encode(): snapshots.encode(x) for x in waiting(NUMBER)}

    most = await longest(partition.restore(latest), lambda: len(partition.deliveries))

    assert (len(partition.deliveries), 0 < most <= MOST) == (NUMBER, True)


async def test_what_was_taken_up_is_gone_on_with_a_slice_of_time_at_once() -> None:
    restored = await taken_over(waiting(NUMBER))
    taken = restored.starter.taken

    most = await longest(restored.partition.resume(), lambda: len(taken))

    assert (len(taken), 0 < most <= MOST) == (NUMBER, True)


async def test_nothing_is_begun_before_every_unknown_start_is_looked_after() -> None:
    """Another start on its job, meanwhile, could be taken for it."""
    unknown = [
        a_delivery(state, command_id=CommandId(state))
        for state in (State.UNCERTAIN, State.HELD, State.STARTING)
    ]
    restored = await taken_over([*waiting(NUMBER), *unknown])
    partition, begun = restored.partition, restored.starter.taken

    resuming = asyncio.create_task(partition.resume())
    while not begun:  # noqa: ASYNC110 -- at the very turn
        await asyncio.sleep(0)

    assert len(begun) < NUMBER
    states = {x.state for x in partition.deliveries.values()}
    assert State.STARTING not in states  # it is unknown from now on
    assert {x.command_id for x in unknown} <= set(restored.reconciler.taken)
    await resuming


async def test_what_was_doubted_is_recalled_open_or_ended() -> None:
    """A post that an abandoned command left behind may still be applied."""
    doubted: list[Snapshot] = [
        finish(
            a_delivery(State.FAILED, command_id=CommandId("given up"), doubted_at=NOW)
        ),
        a_delivery(State.HELD, command_id=CommandId("held"), doubted_at=NOW),
        a_delivery(State.WAITING, command_id=CommandId("again"), doubted_at=NOW),
    ]
    restored = await taken_over([*waiting(2), *doubted])

    assert restored.reconciler.recalled == [each.command_id for each in doubted]


async def test_one_that_has_changed_before_its_turn_is_not_gone_on_with_twice() -> None:
    restored = await taken_over(waiting(NUMBER))
    resuming = asyncio.create_task(restored.partition.resume())
    await asyncio.sleep(0)

    last = CommandId(f"c-{NUMBER - 1}")
    restored.partition.set_aside(last, RuntimeError())
    await resuming

    assert restored.starter.taken.count(last) == 1  # to let it go: it has ended


async def test_of_what_has_ended_on_a_job_the_newest_are_noted_and_all_remembered() -> (
    None
):
    number = 12 * LEARNED_FROM
    made = [NOW + n * SECOND for n in range(number)]
    ended = [
        finish(
            a_delivery(
                State.COMPLETED,
                command_id=CommandId(f"c-{n}"),
                created_on=at,
                finished_at=NOW,
            )
        )
        for n, at in enumerate(made)
    ]
    for each in (ended, ended[::-1]):
        restored = await taken_over(each)

        newest = {each.command_id for each in ended[-LEARNED_FROM:]}
        seen = [each.command_id for each in restored.sweep.seen]
        assert (set(seen), len(seen)) == (newest, LEARNED_FROM)
        assert len(restored.partition.memory) == number


async def test_a_life_that_is_over_counts_no_delivery_any_more() -> None:
    restored = await taken_over(waiting(3))

    restored.partition.end()

    assert restored.counts.in_state(State.ACCEPTED) == 0


async def test_a_life_that_is_over_keeps_nothing_in_memory() -> None:
    """A queue that is paused may hold one of its deliveries for days."""
    finished = finish(a_delivery(State.COMPLETED, finished_at=NOW))
    restored = await taken_over([*waiting(3), finished])

    restored.partition.end()

    assert not restored.partition.deliveries
    assert len(restored.partition.memory) == 0
