"""The sandbox and the tests' own fake say no in the same words."""

import asyncio

import pytest

from jetworker.core.command import DeliveryId, JobId, TransferId
from jetworker.core.errors import JetNotFound, JetRejected, JetUnauthorized
from jetworker.core.observation import (
    JetJob,
    StartAnswered,
    StartLost,
)
from jetworker.jet.client import JetClient
from tests.support.jet import site as sandboxes
from tests.support.jet.both_sides import (
    OBJECTS,
    Side,
    ask_start,
    bearer,
    raw,
    searched,
    start,
    token,
    watched,
)


async def test_a_wrong_secret_is_unauthorized(side: Side) -> None:
    assert (await token(side, client_secret="guess")).status_code == 401
    async with sandboxes.jet_client(side.base_url, "guess") as wrong:
        with pytest.raises(JetUnauthorized):
            await wrong.sign_in()


@pytest.mark.parametrize("given", [None, "guess"])
async def test_everything_but_the_token_needs_one(
    side: Side, job: JetJob, given: str | None
) -> None:
    own = f"/v1/jobs/{job.job_id}"
    asked = [
        ("GET", "/v1/storageProfiles"),
        ("GET", "/v1/jobs"),
        ("POST", "/v1/jobs"),
        ("POST", "/v1/jobs/search"),
        ("GET", own),
        ("PATCH", own),
        ("POST", f"{own}/deliveries"),
        ("GET", f"{own}/deliveries/d"),
        ("GET", f"{own}/transfers?state=IN_PROGRESS"),
        ("GET", f"{own}/transfers/t"),
        ("GET", f"{own}/files"),
        ("GET", "/v1/jobs/none"),
    ]
    answers = [await raw(side, *each, token=given) for each in asked]

    assert {each.status_code for each in answers} == {401}
    assert all("message" in each.json() for each in answers)


async def test_a_paused_job_says_so_and_cannot_be_started(
    side: Side, jet: JetClient, job: JetJob
) -> None:
    assert (await jet.set_paused(job.job_id, paused=True)).paused

    answer = await ask_start(jet, job)

    assert isinstance(answer, StartAnswered)
    assert answer.status == 400
    assert "paused" in answer.message
    assert (await jet.get_job(job.job_id)).paused
    assert [each.paused for each in await searched(side, job.name)] == [True]
    assert (await jet.get_job(job.job_id)).delivery_ids == ()
    assert not (await jet.set_paused(job.job_id, paused=False)).paused
    await start(jet, job)


@pytest.mark.parametrize(("when", "applied"), [("before", 0), ("after", 1)])
async def test_a_lost_answer_is_unknown_and_the_job_shows_what_came_of_it(
    side: Side, jet: JetClient, job: JetJob, when: str, applied: int
) -> None:
    await side.lose(when)

    answer = await ask_start(jet, job)

    assert isinstance(answer, StartLost)
    assert len((await jet.get_job(job.job_id)).delivery_ids) == applied


async def test_a_refused_start_is_answered_and_starts_nothing(
    side: Side, jet: JetClient, job: JetJob
) -> None:
    refused = [401, 403, 404, 409, 429, 500, 503]
    found = []
    for status in refused:
        await side.refuse("start_delivery", status)
        answer = await ask_start(jet, job)
        assert isinstance(answer, StartAnswered)
        found.append(answer.status)

    assert found == refused
    assert (await jet.get_job(job.job_id)).delivery_ids == ()


async def test_a_question_that_is_not_answered_once_is_asked_again(
    side: Side, jet: JetClient, job: JetJob
) -> None:
    for status in (429, 503):
        await side.refuse("get_job", status)
        assert await jet.get_job(job.job_id) == job
    await side.refuse("get_job", 403)
    with pytest.raises(JetRejected):
        await jet.get_job(job.job_id)


async def test_what_does_not_exist_is_not_found(jet: JetClient, job: JetJob) -> None:
    nobody, delivery = JobId("none"), await start(jet, job)
    assert job.profile_ids is not None
    other = await jet.create_job("other", *job.profile_ids)
    (*_, done) = await watched(jet, job, delivery)
    asked = [
        jet.get_job(nobody),
        jet.set_paused(nobody, paused=True),
        jet.list_transfers(nobody),
        jet.list_files(nobody),
        jet.get_delivery(nobody, delivery),
        jet.get_delivery(job.job_id, DeliveryId("none")),
        jet.get_delivery(other.job_id, delivery),
        jet.get_transfer(job.job_id, TransferId("none")),
        jet.get_transfer(other.job_id, done.transfer_ids[0]),
    ]

    answers = await asyncio.gather(*asked, return_exceptions=True)

    assert [type(each) for each in answers] == [JetNotFound] * len(asked)
    lost = await jet.start_delivery(nobody, OBJECTS, guard=lambda: None)
    assert isinstance(lost, StartAnswered)
    assert lost.status == 404


@pytest.mark.parametrize(
    ("asked", "body", "status"),
    [
        ("GET /transfers", None, 400),
        ("GET /transfers?state=COMPLETED", None, 400),
        ("GET /deliveries", None, 404),
        ("POST /deliveries", {}, 400),
        ("POST /deliveries", {"objects": []}, 400),
        ("POST /deliveries", {"objects": [{"isDirectory": True}]}, 400),
        ("PATCH ", {}, 400),
    ],
)
async def test_what_jet_does_not_document_is_refused_and_does_nothing(
    side: Side, jet: JetClient, job: JetJob, asked: str, body: object, status: int
) -> None:
    method, _, path = asked.partition(" ")
    url = f"/v1/jobs/{job.job_id}{path}"

    answer = await raw(side, method, url, body, await bearer(side))

    assert answer.status_code == status
    assert await jet.get_job(job.job_id) == job
