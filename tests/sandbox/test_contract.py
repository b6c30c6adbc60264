"""What jetworker relies on is the same at the sandbox and at the tests' own fake."""

from datetime import UTC, datetime, timedelta

from jetworker.core.command import DeliveryId
from jetworker.core.observation import (
    JetJob,
    Progress,
    Tally,
)
from jetworker.jet.client import JetClient
from jetworker.wire.jet import items
from jetworker.wire.jet import job as read_job
from tests.support.jet.both_sides import (
    FILES,
    MISSING,
    OBJECTS,
    Side,
    bearer,
    raw,
    searched,
    start,
    token,
    watched,
)
from tests.support.waiting import until

TOTAL = sum(map(len, FILES.values()))


async def test_a_token_has_the_documented_fields(side: Side) -> None:
    answer = await token(side)

    fields = answer.json()
    assert answer.status_code == 200
    assert (fields["token_type"], fields["expires_in"]) == ("Bearer", 3600)
    assert isinstance(fields["expires_in"], int)


async def test_an_expired_token_is_renewed_on_the_way(
    side: Side, jet: JetClient, job: JetJob
) -> None:
    old = await bearer(side)
    await side.expire_tokens()

    assert await jet.get_job(job.job_id) == job

    assert (await raw(side, "GET", "/v1/jobs", token=old)).status_code == 401


async def test_a_created_job_is_got_listed_and_found_as_it_was_made(
    side: Side, jet: JetClient
) -> None:
    profiles = {
        each.name: each.profile_id for each in (await jet.list_profiles()).items
    }
    ends = (profiles["Paris"], profiles["London"])

    made = await jet.create_job("Paris back home", *ends)

    assert (made.name, made.profile_ids) == ("Paris back home", ends)
    assert (made.paused, made.delivery_ids) == (False, ())
    assert made.created_on is not None
    assert abs(datetime.now(UTC) - made.created_on) < timedelta(minutes=1)
    assert await jet.get_job(made.job_id) == made
    assert made in (await jet.list_jobs()).items
    found = await searched(side, "BACK home")
    assert [(each.job_id, each.name) for each in found] == [(made.job_id, made.name)]
    assert await searched(side, "no such job") == []


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

    found = [[each.job_id for each in items(page, read_job).items] for page in pages]
    assert found == [[job.job_id], [second.job_id], []]
    assert {page["totalResultCount"] for page in pages} == {2}


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
    side: Side, jet: JetClient, job: JetJob
) -> None:
    await side.take_minutes()
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

    listed = await jet.list_files(job.job_id)
    files = listed.items

    found = {path for path in FILES for each in files if each.url.endswith(path)}
    assert found == set(FILES)
    assert {each.transfer_id for each in files} == set(done.transfer_ids)
    assert all(each.state for each in files)
    assert listed.is_whole


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
