"""Who may start on a job now: one at a time, and none that could be another's (R5)."""

import asyncio
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

import pytest

from jetworker.core.command import CommandId, JobId
from jetworker.core.errors import StoreError
from jetworker.worker.job_locks import ALONE, AT_ONCE, Claim, JobLocks
from tests.support.builders import JOB, NOW, SECOND
from tests.support.fakes import HandClock

OTHER = JobId("other")


async def test_one_start_at_a_time_is_sent_on_a_job() -> None:
    locks = JobLocks(HandClock())
    most, now = 0, 0

    async def start() -> None:
        nonlocal most, now
        async with locks.start(JOB):
            now += 1
            most = max(most, now)
            await asyncio.sleep(0)
            now -= 1

    await asyncio.gather(*(start() for _ in range(5)))

    assert most == 1


def test_others_wait_until_an_unknown_post_can_be_applied_no_longer() -> None:
    locks = JobLocks(HandClock())
    woken: list[None] = []
    locks.on_change(lambda: woken.append(None))
    ours, other = CommandId("c-1"), CommandId("c-2")
    locks.hold(JOB, ours, NOW)

    assert locks.blocked_for(OTHER, other, NOW) == 0.0
    assert locks.blocked_for(JOB, ours, NOW) == 0.0
    assert 3.0 < locks.blocked_for(JOB, other, NOW) < 3.1
    assert locks.blocked_for(JOB, other, None) == 1.0
    assert locks.blocked_for(JOB, other, NOW + 4 * SECOND) == 0.0
    locks.hold(JOB, ours, NOW)
    locks.release(JOB, ours)
    locks.release(JOB, ours)
    assert locks.blocked_for(JOB, other, NOW) == 0.0
    assert woken == [None]


def test_a_case_that_is_closed_leaves_its_ghost_s_window_open() -> None:
    """An operator sent it again: the first post may still be applied."""
    locks = JobLocks(HandClock())
    ours, other = CommandId("c-1"), CommandId("c-2")
    locks.hold(JOB, ours, NOW)

    locks.close(JOB, ours)

    assert locks.blocked_for(JOB, other, NOW) > 3.0
    assert locks.blocked_for(JOB, other, NOW + 4 * SECOND) == 0.0


def answer(locks: JobLocks, times: int = 10) -> None:
    """Let Jet answer starts, each durable at once."""
    for _ in range(times):
        durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        durable.set_result(None)
        with locks.at_risk(JOB, "a partition", ALONE) as start:
            locks.answered(JOB, start, durable, is_started=True)


async def most_at_once(locks: JobLocks, at_once: int) -> int:
    """Start ten on a job, and return how many were in flight together."""
    most, now = 0, 0

    async def start() -> None:
        nonlocal most, now
        async with locks.start(JOB, Claim(at_once)):
            now += 1
            most = max(most, now)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            now -= 1

    await asyncio.gather(*(start() for _ in range(10)))
    return most


async def test_several_are_in_flight_only_on_a_job_that_is_calm() -> None:
    clock = HandClock()
    locks = JobLocks(clock)
    lost = CommandId("lost")

    unknown_yet = await most_at_once(locks, 4)
    answer(locks)
    calm = await most_at_once(locks, 4)
    one_by_one = await most_at_once(locks, 1)
    locks.hold(JOB, lost, NOW)
    doubted = await most_at_once(locks, 4)
    locks.release(JOB, lost)
    answer(locks)
    soon_after = await most_at_once(locks, 4)
    clock.at += 601

    assert (unknown_yet, calm, one_by_one, doubted, soon_after) == (1, 4, 1, 1, 1)
    assert await most_at_once(locks, 4) == 4


def of(*paths: str) -> Claim:
    return Claim(AT_ONCE, frozenset(paths))


@pytest.mark.parametrize(
    ("in_flight", "other", "goes"),
    [
        (of("/a", "/b"), of("/c"), True),
        (of("/a", "/b"), of("/b", "/c"), False),
        (of("/a"), ALONE, False),
        (ALONE, of("/a"), False),
        (Claim(2), of("/a"), False),
        (of("/a"), Claim(2), True),
        (Claim(2), Claim(2), True),
    ],
)
async def test_no_two_for_a_common_path_are_in_flight_where_only_files_tell(
    *, in_flight: Claim, other: Claim, goes: bool
) -> None:
    locks = JobLocks(HandClock())
    answer(locks)
    began = asyncio.Event()

    async def start() -> None:
        async with locks.start(JOB, other):
            began.set()

    async with locks.start(JOB, in_flight):
        second = asyncio.create_task(start())
        for _ in range(3):
            await asyncio.sleep(0)
        together = began.is_set()
    await second

    assert (together, began.is_set()) == (goes, True)


async def test_only_the_same_partition_s_intent_goes_before_an_answer_is_durable() -> (
    None
):
    """A crash might keep another partition's, and lose the answer."""
    locks = JobLocks(HandClock())
    durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    with locks.at_risk(JOB, "one", ALONE) as start:
        locks.answered(JOB, start, durable, is_started=True)

    await locks.writable(JOB, "one", ALONE)
    await locks.writable(OTHER, "two", ALONE)
    waiting = asyncio.create_task(locks.writable(JOB, "two", ALONE))
    for _ in range(3):
        await asyncio.sleep(0)
    waited = not waiting.done()
    durable.set_exception(StoreError("its life is over"))
    await waiting
    await locks.writable(JOB, "two", ALONE)

    assert waited


async def test_a_start_whose_paths_another_asked_for_waits_for_that_answer_to_be_kept() -> (
    None
):
    locks = JobLocks(HandClock())
    answer(locks)
    durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    with locks.at_risk(JOB, "one", of("/a", "/b")) as start:
        locks.answered(JOB, start, durable, is_started=True)

    allowed = [
        locks.may_write(JOB, owner, claim)
        for owner, claim in [
            ("two", of("/b")),
            ("two", of("/c")),
            ("one", of("/b")),
            ("two", ALONE),
        ]
    ]

    assert allowed == [False, True, True, False]


async def test_a_start_of_which_nothing_was_kept_leaves_its_place_to_others() -> None:
    locks = JobLocks(HandClock())

    with suppress(StoreError), locks.at_risk(JOB, "one", ALONE):
        meanwhile = locks.may_write(JOB, "two", ALONE)
        raise StoreError

    assert (meanwhile, locks.may_write(JOB, "two", ALONE)) == (False, True)


@dataclass
class Written:
    """What partitions wrote of starts, to be cut off anywhere by a crash."""

    of: defaultdict[str, list[tuple[str, int]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    kept: Counter[str] = field(default_factory=Counter)

    def most_unknown(self) -> int:
        """Try every crash: of each partition all that is kept, and any of what is not."""
        return sum(
            max(unknown(steps[:end]) for end in range(self.kept[owner], len(steps) + 1))
            for owner, steps in self.of.items()
        )


def unknown(steps: list[tuple[str, int]]) -> int:
    intents = {number for kind, number in steps if kind == "intent"}
    return len(intents - {number for kind, number in steps if kind == "answer"})


@pytest.mark.parametrize("at_once", [1, 2, 4])
async def test_no_crash_leaves_more_unknown_starts_than_may_be_in_flight(
    at_once: int,
) -> None:
    locks, luck, written = JobLocks(HandClock()), Random(at_once), Written()
    answer(locks)
    durables: defaultdict[str, list[asyncio.Future[None]]] = defaultdict(list)
    most, fullest, ahead = 0, 0, 0

    async def start(number: int) -> None:
        nonlocal most, ahead
        owner, claim = luck.choice("abc"), Claim(at_once)
        async with locks.start(JOB, claim):
            await locks.writable(JOB, owner, claim)
            with locks.at_risk(JOB, owner, claim) as start:
                ahead += bool(len(written.of[owner]) > written.kept[owner])
                _ = note(owner, "intent", number)
                most = max(most, written.most_unknown())
                for _ in range(luck.randrange(6)):
                    await asyncio.sleep(0)
                locks.answered(
                    JOB, start, note(owner, "answer", number), is_started=True
                )

    def note(owner: str, kind: str, number: int) -> "asyncio.Future[None]":
        written.of[owner].append((kind, number))
        durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        durables[owner].append(durable)
        return durable

    starts = [asyncio.create_task(start(number)) for number in range(200)]
    while not all(each.done() for each in starts):
        for _ in range(luck.randrange(6)):
            await asyncio.sleep(0)
        owner = luck.choice("abc")
        fullest = max(fullest, sum(map(unknown, written.of.values())))
        written.kept[owner] = len(written.of[owner])
        for durable in durables.pop(owner, []):
            durable.set_result(None)
    await asyncio.gather(*starts)

    assert (most, fullest) == (at_once, at_once)
    assert ahead > 0


async def test_who_gives_up_waiting_takes_no_place_and_nobody_is_passed() -> None:
    locks = JobLocks(HandClock())
    order: list[str] = []

    async def start(name: str) -> None:
        async with locks.start(JOB):
            order.append(name)

    async with locks.start(JOB):
        waiting = [asyncio.create_task(start(name)) for name in ("gone", "a", "b")]
        await asyncio.sleep(0)
        waiting[0].cancel()
    await start("late")
    await asyncio.gather(*waiting, return_exceptions=True)

    assert order == ["a", "b", "late"]
