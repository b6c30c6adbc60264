"""What jetworker relies on is the same at the sandbox and at the tests' own fake."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jetworker.core.command import DeliveryId, JobId, ObjectSpec, TransferId
from jetworker.core.observation import (
    JetDelivery,
    JetJob,
    Progress,
    StartAccepted,
    StartAnswer,
    StartAnswered,
    StartLost,
    Tally,
)
from jetworker.errors import JetNotFound, JetRejected, JetUnauthorized
from jetworker.jet import JetClient
from jetworker.wire.jet import items
from jetworker.wire.jet import job as read_job
from tests import jet_sides, sandboxes
from tests.jet_sides import FILES, MISSING, OBJECTS, Side, raw, token
from tests.system import until

SIDES = {"fake": jet_sides.fake, "sandbox": jet_sides.sandbox}
TOTAL = sum(map(len, FILES.values()))


@pytest.fixture(params=SIDES)
async def side(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Side]:
    async with SIDES[request.param](tmp_path) as opened:
        yield opened


@pytest.fixture
async def jet(side: Side) -> AsyncIterator[JetClient]:
    async with sandboxes.jet_client(side.base_url, side.secret) as client:
        yield client


@pytest.fixture
async def job(jet: JetClient) -> JetJob:
    profiles = {each.name: each.profile_id for each in await jet.list_profiles()}
    return await jet.create_job("contract", profiles["London"], profiles["Paris"])


async def start(jet: JetClient, job: JetJob, *more: ObjectSpec) -> DeliveryId:
    answer = await ask_start(jet, job, *more)
    assert isinstance(answer, StartAccepted)
    return answer.delivery_id


async def ask_start(jet: JetClient, job: JetJob, *more: ObjectSpec) -> StartAnswer:
    objects = (*OBJECTS, *more)
    return await jet.start_delivery(job.job_id, objects, guard=lambda: None)


async def watched(
    jet: JetClient, job: JetJob, delivery: DeliveryId
) -> list[JetDelivery]:
    """Return every look of a delivery until it is over."""
    seen: list[JetDelivery] = []
    async with asyncio.timeout(sandboxes.PATIENCE):
        while not seen or seen[-1].state not in sandboxes.FINAL:
            seen.append(await jet.get_delivery(job.job_id, delivery))
            await asyncio.sleep(0.02)
    return seen


async def bearer(side: Side) -> str:
    return str((await token(side)).json()["access_token"])


async def test_a_token_has_the_documented_fields(side: Side) -> None:
    answer = await token(side)

    fields = answer.json()
    assert answer.status_code == 200
    assert (fields["token_type"], fields["expires_in"]) == ("Bearer", 3600)
    assert isinstance(fields["expires_in"], int)


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


async def test_an_expired_token_is_renewed_on_the_way(
    side: Side, jet: JetClient, job: JetJob
) -> None:
    old = await bearer(side)
    await side.expire_tokens()

    assert await jet.get_job(job.job_id) == job

    assert (await raw(side, "GET", "/v1/jobs", token=old)).status_code == 401


async def test_a_created_job_is_got_listed_and_found_as_it_was_made(
    jet: JetClient,
) -> None:
    profiles = {each.name: each.profile_id for each in await jet.list_profiles()}
    ends = (profiles["Paris"], profiles["London"])

    made = await jet.create_job("Paris back home", *ends)

    assert (made.name, made.profile_ids) == ("Paris back home", ends)
    assert (made.paused, made.delivery_ids) == (False, ())
    assert made.created_on is not None
    assert abs(datetime.now(UTC) - made.created_on) < timedelta(minutes=1)
    assert await jet.get_job(made.job_id) == made
    assert made in await jet.list_jobs()
    found = await jet.search_jobs("BACK home")
    assert [(each.job_id, each.name) for each in found] == [(made.job_id, made.name)]
    assert await jet.search_jobs("no such job") == ()


async def test_a_search_has_pages_and_a_total(
    side: Side, jet: JetClient, job: JetJob
) -> None:
    assert job.profile_ids is not None
    second = await jet.create_job("contract two", *job.profile_ids)
    given = await bearer(side)
    path = "/v1/jobs/search"
    query = {"query": {"text": "contract"}, "limit": 1}

    pages = [
        (await raw(side, "POST", path, query | {"offset": n}, given)).json()
        for n in range(3)
    ]

    found = [[each.job_id for each in items(page, read_job)] for page in pages]
    assert found == [[job.job_id], [second.job_id], []]
    assert {page["totalResultCount"] for page in pages} == {2}


async def test_a_paused_job_says_so_and_cannot_be_started(
    jet: JetClient, job: JetJob
) -> None:
    assert (await jet.set_paused(job.job_id, paused=True)).paused

    answer = await ask_start(jet, job)

    assert isinstance(answer, StartAnswered)
    assert answer.status == 400
    assert "paused" in answer.message
    assert (await jet.get_job(job.job_id)).paused
    assert [each.paused for each in await jet.search_jobs(job.name)] == [True]
    assert (await jet.get_job(job.job_id)).delivery_ids == ()
    assert not (await jet.set_paused(job.job_id, paused=False)).paused
    await start(jet, job)


async def test_a_delivery_is_followed_from_its_start_to_its_end(
    jet: JetClient, job: JetJob
) -> None:
    delivery = await start(jet, job)

    seen = await watched(jet, job, delivery)

    progress = [each.progress for each in seen]
    assert None not in progress
    shown = [(p.transferred.count, p.transferred.bytes) for p in progress if p]
    assert shown == sorted(shown)
    assert len(set(shown)) > 2
    done = seen[-1]
    whole = Progress(transferred=Tally(len(OBJECTS), TOTAL))
    assert (done.delivery_id, done.state, done.progress) == (
        delivery,
        "COMPLETED",
        whole,
    )
    assert done.created_on is not None
    assert abs(datetime.now(UTC) - done.created_on) < timedelta(minutes=1)
    (transfer_id,) = done.transfer_ids
    transfer = await jet.get_transfer(job.job_id, transfer_id)
    assert (transfer.state, transfer.delivery_id, transfer.is_retry) == (
        "COMPLETED",
        delivery,
        False,
    )
    assert transfer.progress == whole
    assert await jet.list_transfers(job.job_id) == ()


async def test_a_transfer_in_progress_is_listed_with_its_delivery(
    jet: JetClient, job: JetJob
) -> None:
    delivery = await start(jet, job)

    async def is_listed() -> bool:
        return bool(await jet.list_transfers(job.job_id))

    await until(is_listed, "a transfer in progress")
    (found,) = await jet.list_transfers(job.job_id)
    alone = await jet.get_transfer(job.job_id, found.transfer_id)
    shown = await jet.get_delivery(job.job_id, delivery)

    assert {each.state for each in (found, alone, shown)} == {"IN_PROGRESS"}
    assert found.delivery_id == alone.delivery_id == delivery
    assert shown.transfer_ids == (found.transfer_id,)


async def test_completed_hides_objects_that_failed(
    side: Side, jet: JetClient, job: JetJob
) -> None:
    delivery = await start(jet, job, MISSING)
    await side.fail_one(delivery)

    done = (await watched(jet, job, delivery))[-1]

    assert done.state == "COMPLETED"
    assert done.progress is not None
    counts = [done.progress.transferred.count, done.progress.failed.count]
    assert counts == [len(OBJECTS), 1]


async def test_files_name_paths_and_transfers(jet: JetClient, job: JetJob) -> None:
    delivery = await start(jet, job)
    done = (await watched(jet, job, delivery))[-1]

    files = await jet.list_files(job.job_id)

    found = {path for path in FILES for each in files if each.url.endswith(path)}
    assert found == set(FILES)
    assert {each.transfer_id for each in files} == set(done.transfer_ids)
    assert all(each.state for each in files)


async def test_a_job_shows_its_deliveries_in_order_whoever_started_them(
    side: Side, jet: JetClient, job: JetJob
) -> None:
    first = await start(jet, job)
    second = await side.start_elsewhere(job.job_id, "/a.mov")
    third = await start(jet, job)

    shown = [(await jet.get_job(job.job_id)).delivery_ids]
    for how in ("latest", "none"):
        await side.hide_deliveries(how)
        shown.append((await jet.get_job(job.job_id)).delivery_ids)

    assert shown == [(first, second, third), (third,), ()]
    assert (await jet.get_delivery(job.job_id, DeliveryId(second))).state


@pytest.mark.parametrize(("when", "applied"), [("before", 0), ("after", 1)])
async def test_a_lost_answer_is_unknown_and_the_job_shows_what_came_of_it(
    side: Side, jet: JetClient, job: JetJob, when: str, applied: int
) -> None:
    await side.lose(when)

    answer = await ask_start(jet, job)

    assert isinstance(answer, StartLost)
    assert len((await jet.get_job(job.job_id)).delivery_ids) == applied


@pytest.mark.parametrize("status", [401, 403, 404, 409, 429, 500, 503])
async def test_a_refused_start_is_answered_and_starts_nothing(
    side: Side, jet: JetClient, job: JetJob, status: int
) -> None:
    await side.refuse("start_delivery", status)

    answer = await ask_start(jet, job)

    assert isinstance(answer, StartAnswered)
    assert answer.status == status
    assert (await jet.get_job(job.job_id)).delivery_ids == ()


async def test_a_question_that_is_not_answered_once_is_asked_again(
    side: Side, jet: JetClient, job: JetJob
) -> None:
    for status in (429, 500, 503):
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
