"""Who may start on a job now."""

import asyncio

from jetworker.core.command import CommandId, JobId
from jetworker.worker.job_locks import JobLocks
from tests.support.waiting import until

JOB, OTHER = JobId("job"), JobId("other")
LOST, LOST_TOO = CommandId("lost"), CommandId("lost-too")


async def started(locks: JobLocks, job_id: JobId, began: list[JobId]) -> None:
    async with locks.start(job_id):
        began.append(job_id)


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


async def test_an_unknown_start_keeps_others_off_its_job_and_no_other() -> None:
    locks = JobLocks()
    began: list[JobId] = []

    locks.hold(JOB, LOST)
    locks.hold(JOB, LOST_TOO)
    waiting = asyncio.create_task(started(locks, JOB, began))
    await started(locks, OTHER, began)
    await locks.release(LOST)
    await locks.release(LOST)
    await started(locks, OTHER, began)

    assert began == [OTHER, OTHER]
    await locks.release(LOST_TOO)
    await waiting
    assert began == [OTHER, OTHER, JOB]


async def test_who_waited_for_its_turn_is_kept_off_by_what_was_lost_meanwhile() -> None:
    locks = JobLocks()
    began: list[JobId] = []

    async with locks.start(JOB):
        waiting = asyncio.create_task(started(locks, JOB, began))
        await asyncio.sleep(0)
        locks.hold(JOB, LOST)
    await started(locks, OTHER, began)

    assert began == [OTHER]
    await locks.release(LOST)
    await until(lambda: began == [OTHER, JOB], "the start that waited")
    await waiting
