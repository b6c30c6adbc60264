"""A delivery goes in batches, at the job's bandwidth, and shows how far it is."""

import asyncio
import itertools
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from jetworker.sandbox.jet.settings import JobSeed
from tests.support.jet import site as sandboxes
from tests.support.jet.site import Document, Site, tree, write
from tests.support.waiting import until

DATA = Random(5).randbytes(300_000)
BATCH = ["QUEUED", "SCHEDULED", "IN_PROGRESS"]
RESTS = 3.0  # seconds


def clock() -> float:
    return asyncio.get_running_loop().time()


def counts(shown: Document) -> tuple[int, int]:
    tally = shown["deliverySummary"]["transferred"]
    return tally["count"], tally["bytes"]


def moved(
    site: Site, delivery: str, more_than: int = 0
) -> Callable[[], Awaitable[Any]]:
    async def look() -> bool:
        return counts(await site.ask("GET", delivery))[1] > more_than

    return look


def stands_still(site: Site, delivery: str) -> Callable[[], Awaitable[Any]]:
    async def look_twice() -> bool:
        return await site.ask("GET", delivery) == await site.ask("GET", delivery)

    return look_twice


async def test_every_batch_is_a_transfer_of_its_own(site: Site) -> None:
    write(site.source, {f"/{n}": b"x" * n for n in range(5)})
    await site.tune(batch_size=2)

    delivery = await site.start("/")
    done = await site.finished(delivery)

    transfers = await site.transfers(delivery)
    progress = [each["transferProgress"]["transferred"] for each in transfers]
    assert progress == [
        {"count": 2, "bytes": 1},
        {"count": 2, "bytes": 5},
        {"count": 1, "bytes": 4},
    ]
    assert counts(done) == (5, 10)
    own = delivery.rpartition("/")[2]
    assert {each["metadata"]["deliveryId"] for each in transfers} == {own}
    assert len({each["metadata"]["deliveryBatchId"] for each in transfers}) == 3
    assert {each["state"] for each in transfers} == {"COMPLETED"}


async def test_states_come_in_jets_order_and_again_with_every_batch(
    site: Site,
) -> None:
    write(site.source, {f"/{n}": DATA[:30_000] for n in range(3)})
    await site.tune(batch_size=1, step_seconds=0.1, bandwidth=300_000)

    seen = await site.watched(await site.start("/"))

    states = [state for state, _ in itertools.groupby(each["state"] for each in seen)]
    possible = iter(["CREATED", *BATCH, *BATCH, *BATCH, "COMPLETED"])
    assert all(state in possible for state in states)  # consumes it: in this order
    assert states.count("IN_PROGRESS") > 1


async def test_bandwidth_is_kept_and_progress_only_grows(site: Site) -> None:
    write(site.source, {"/a": DATA, "/b": DATA[:1000]})
    await site.tune(bandwidth=300_000)

    begun = clock()
    seen = await site.watched(await site.start("/a", "/b"))
    seconds = clock() - begun

    shown = [counts(each) for each in seen]
    assert seconds > 0.9
    assert len({size for _, size in shown}) > 4
    assert [n for n, _ in shown] == sorted(n for n, _ in shown)
    assert [size for _, size in shown] == sorted(size for _, size in shown)
    assert shown[-1] == (2, 301_000)


async def test_bandwidth_is_one_jobs_whole_shared_by_its_deliveries(
    site: Site,
) -> None:
    write(site.source, {"/a": DATA[:100_000], "/b": DATA[:100_000]})
    await site.tune(bandwidth=250_000)

    begun = clock()
    started = [await site.start(path) for path in ("/a", "/b")]
    await asyncio.gather(*map(site.finished, started))

    assert clock() - begun > 0.9 * 200_000 / 250_000


async def test_bandwidth_can_be_changed_on_the_way(site: Site) -> None:
    write(site.source, {"/a": DATA})
    await site.tune(bandwidth=1000)  # five minutes
    delivery = await site.start("/a")
    await until(moved(site, delivery), "the first bytes")

    assert (await site.tune(bandwidth=None))["bandwidth"] is None

    assert counts(await site.finished(delivery)) == (1, len(DATA))


async def test_the_listing_shows_what_is_in_progress_and_what_remains(
    site: Site,
) -> None:
    write(site.source, {"/a": DATA, "/b": DATA})
    await site.tune(bandwidth=20_000)
    delivery = await site.start("/a", "/b")
    await until(moved(site, delivery), "the first bytes")

    url = f"{await site.job()}/transfers?state=IN_PROGRESS"
    (shown,) = (await site.ask("GET", url))["items"]

    expected = {"count": 2, "bytes": 2 * len(DATA)}
    assert (shown["state"], shown["objectsManifest"]["summary"]) == (
        "IN_PROGRESS",
        expected,
    )
    done, left = (shown["transferProgress"][p] for p in ("transferred", "remaining"))
    assert {name: done[name] + left[name] for name in done} == expected
    await site.tune(bandwidth=None)
    await site.finished(delivery)
    assert (await site.ask("GET", url))["items"] == []


async def test_a_pause_halts_what_runs_and_a_resume_goes_on(site: Site) -> None:
    write(site.source, {"/a": DATA})
    await site.tune(bandwidth=100_000)
    job = await site.job()
    delivery = await site.start("/a")
    await until(moved(site, delivery), "the first bytes")

    await site.ask("PATCH", job, {"paused": True})
    await site.tune(bandwidth=None)
    await until(stands_still(site, delivery), "the end of the piece under way")
    before = await site.ask("GET", delivery)
    for _ in range(50):  # what copies has as many turns as what answers
        assert await site.ask("GET", delivery) == before
    assert 0 < counts(before)[1] < len(DATA)

    await site.ask("PATCH", job, {"paused": False})
    assert counts(await site.finished(delivery)) == (1, len(DATA))
    assert tree(site.target) == {"/a": DATA}


async def test_a_deleted_job_stops_and_leaves_nothing_half_done(site: Site) -> None:
    write(site.source, {"/a": DATA})
    await site.tune(bandwidth=20_000)
    job = await site.job()
    delivery = await site.start("/a")
    await until(moved(site, delivery), "the first bytes")

    await site.ask("DELETE", job)

    for path in (job, delivery, f"{job}/files"):
        await site.ask("GET", path, status=404)
    await until(lambda: tree(site.target) == {}, "the half file to be removed")


async def test_a_growing_file_is_followed_until_it_rests(tmp_path: Path) -> None:
    """The job waits for so long a rest that no busy machine is taken for one."""
    growing = JobSeed("grow", "Source", "Target", growing_idle_seconds=RESTS)
    async with sandboxes.site(tmp_path, jobs=(growing,)) as site:
        place = site.source / "live.ts"
        place.write_bytes(DATA[:1000])
        delivery = await site.start("/live.ts", job="grow")

        for size in (1000, 90_000, 90_001):
            await until(moved(site, delivery, size - 1), f"{size} bytes to arrive")
            assert (await site.ask("GET", delivery))["state"] == "IN_PROGRESS"
            with place.open("ab") as more:
                more.write(DATA[size : 90_000 if size == 1000 else size + 1])
        rested = clock()
        done = await site.finished(delivery)

        assert clock() - rested > 0.9 * RESTS
        assert counts(done) == (1, 90_002)
        assert tree(site.target) == {"/live.ts": DATA[:90_002]}
        (transfer,) = await site.transfers(delivery)
        assert transfer["options"] == {"areGrowingObjects": True}


async def test_without_growing_objects_a_file_is_copied_as_it_was(site: Site) -> None:
    write(site.source, {"/a": DATA})
    await site.tune(bandwidth=600_000)
    delivery = await site.start("/a")
    await until(moved(site, delivery), "the first bytes")
    with (site.source / "a").open("ab") as more:
        more.write(b"too late")

    await site.finished(delivery)

    assert tree(site.target) == {"/a": DATA}


async def test_a_file_that_shrinks_ends_with_what_there_was(site: Site) -> None:
    write(site.source, {"/a": DATA})
    await site.tune(bandwidth=100_000)
    delivery = await site.start("/a")
    await until(moved(site, delivery), "the first bytes")
    size = 150_000
    os.truncate(site.source / "a", size)
    await site.tune(bandwidth=None)

    assert counts(await site.finished(delivery)) == (1, size)
    assert tree(site.target) == {"/a": DATA[:size]}


async def test_more_deliveries_than_run_at_once_wait_their_turn(site: Site) -> None:
    write(site.source, {f"/{n}": bytes([n]) for n in range(40)})

    started = [await site.start(f"/{n}") for n in range(40)]
    done = await asyncio.gather(*map(site.finished, started))

    assert {each["state"] for each in done} == {"COMPLETED"}
    assert tree(site.target) == {f"/{n}": bytes([n]) for n in range(40)}


@pytest.mark.parametrize("batch_size", [1, 3, 100])
async def test_a_virtual_delivery_shows_the_same_and_touches_no_file(
    site: Site, batch_size: int
) -> None:
    await site.tune(virtual_seconds=0.5, virtual_failing="bad", batch_size=batch_size)
    objects = [
        {"relativePath": path, "sizeInBytes": 1000}
        for path in ("/a", "/bad", "/c", "/d")
    ]
    job = await site.job()
    answer = await site.ask("POST", f"{job}/deliveries", {"objects": objects})
    delivery = f"{job}/deliveries/{answer['deliveryId']}"

    seen = await site.watched(delivery)

    shown = [counts(each) for each in seen]
    assert shown == sorted(shown)
    assert (seen[-1]["state"], shown[-1]) == ("COMPLETED", (3, 3000))
    assert seen[-1]["deliverySummary"]["failed"]["count"] == 1
    assert len(await site.transfers(delivery)) == -(-4 // batch_size)
    assert tree(site.target) == {}
