"""Who may start on a job now: one at a time, and none that could be another's (R5)."""

import asyncio

from jetworker.core.command import CommandId, JobId
from jetworker.worker.job_locks import JobLocks
from tests.support.builders import JOB, NOW, SECOND

OTHER = JobId("other")


async def test_one_start_at_a_time_is_sent_on_a_job() -> None:
    locks = JobLocks()
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
    locks = JobLocks()
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
