"""Whether a job's files tell its starts apart is learned while nothing is wrong (R6)."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry

from jetworker.core.command import CommandId, DeliveryId, JobId, ObjectSpec, TransferId
from jetworker.core.delivery import Delivery, State, Transfer
from jetworker.core.finished import finish
from jetworker.core.post import sample_of
from jetworker.runtime.metrics import Metrics
from jetworker.worker.reconciliation.job_observer import JobObserver
from jetworker.worker.reconciliation.lessons import Lessons
from tests.support.builders import SECOND, a_delivery
from tests.support.fakes import HandClock
from tests.support.jet import site as sandboxes
from tests.support.jet.fake_server import JetServer
from tests.support.waiting import until

JOB = JobId("j")
SETTLE = 20 * SECOND
HOUR = timedelta(hours=1)


@dataclass
class School:
    """A job whose deliveries end at once, and what is learned of it."""

    jet: JetServer
    lessons: Lessons
    clock: HandClock

    def ended(self, number: int, *, ago: timedelta = HOUR) -> Delivery:
        """Let one be made and ended at Jet, and return it as its worker knows it."""
        path = f"/show/{number}.mov"
        made = self.jet.start(JOB, [{"relativePath": path}])
        at = datetime.now(UTC) - ago + number * SECOND
        return replace(
            a_delivery(State.COMPLETED, command_id=CommandId(f"c-{number}")),
            job_id=JOB,
            delivery_id=DeliveryId(made.delivery_id),
            transfers=(Transfer(TransferId(made.transfer_id)),),
            created_on=at,
            ended_on=at,
            sample=sample_of([ObjectSpec(path)]),
        )


@pytest.fixture
async def school() -> AsyncIterator[School]:
    async with JetServer(seconds=0.0) as jet:
        jet.add_job("archive", JOB)
        clock = HandClock()
        async with sandboxes.jet_client(jet.base_url, jet.secret) as client:
            await client.sign_in()
            lessons = Lessons(
                JobObserver(client),
                clock=clock,
                metrics=Metrics(CollectorRegistry()),
                settle=SETTLE,
            )
            yield School(jet, lessons, clock)


async def test_ten_whose_files_are_shown_in_one_form_teach_it_once_they_are_settled(
    school: School,
) -> None:
    ended = [school.ended(n) for n in range(11)]
    for each in ended:
        school.lessons.note(each)
    school.lessons.ask(JOB)
    school.clock.at += 21
    unlooked = school.lessons.tell(JOB)
    for _ in range(3):
        school.lessons.ask(JOB)
    running = asyncio.create_task(school.lessons.run())
    await until(lambda: school.lessons.tell(JOB), "what is learned")
    running.cancel()

    assert not unlooked
    assert school.jet.count("list_files") == 1
    assert school.jet.count("get_delivery") == 0


async def test_the_last_forty_of_an_earlier_life_are_asked_for_once(
    school: School,
) -> None:
    for each in [school.ended(n) for n in range(50)] * 2:
        school.lessons.note(finish(each))
    for _ in range(2):
        await school.lessons.look(JOB)

    assert school.lessons.tell(JOB)
    assert school.jet.count("get_delivery") == 40


@pytest.mark.parametrize(
    ("what", "tells"),
    [
        ("all as they should be", True),
        ("files are not shown", False),
        ("one of the last ten is not shown", False),
        ("one shows other files", False),
        ("too few", False),
        ("they ended just now", False),
    ],
)
async def test_one_that_shows_no_files_or_others_is_enough_against_it(
    school: School, what: str, *, tells: bool
) -> None:
    number = 9 if what == "too few" else 12
    ago = -HOUR if what == "they ended just now" else HOUR
    ended = [school.ended(n, ago=ago) for n in range(number)]
    school.jet.shows_files = what != "files are not shown"
    last = school.jet.deliveries[ended[-1].delivery_id or ""]
    if what == "one of the last ten is not shown":
        last.objects = []
    if what == "one shows other files":
        last.objects = [{"relativePath": "/show/other.mov"}]
    for each in ended:
        school.lessons.note(each)
    school.clock.at += 21
    school.lessons.ask(JOB)
    await school.lessons.look(JOB)

    assert school.lessons.tell(JOB) == tells


async def test_what_is_learned_is_learned_anew_after_a_while(school: School) -> None:
    for number in range(12):
        school.lessons.note(school.ended(number))
    school.clock.at += 21
    school.lessons.ask(JOB)
    await school.lessons.look(JOB)
    school.jet.shows_files = False
    still = school.lessons.tell(JOB)
    school.clock.at += 61
    meanwhile = school.lessons.tell(JOB)
    await school.lessons.look(JOB)

    assert (still, meanwhile, school.lessons.tell(JOB)) == (True, True, False)


async def test_a_job_that_cannot_be_looked_at_tells_nothing_and_hinders_nobody(
    school: School,
) -> None:
    for number in range(12):
        school.lessons.note(school.ended(number))
        school.lessons.note(
            replace(school.ended(100 + number), job_id=JobId("deleted"))
        )
    school.clock.at += 21
    for each in (JobId("deleted"), JOB, JobId("unheard of")):
        school.lessons.ask(each)
    running = asyncio.create_task(school.lessons.run())
    await until(lambda: school.lessons.tell(JOB), "what is learned of the other")
    running.cancel()

    assert not school.lessons.tell(JobId("deleted"))
    assert not school.lessons.tell(JobId("unheard of"))
