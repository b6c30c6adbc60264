"""A manual job copies what a start names: files, folders, or everything."""

import os
from random import Random

import pytest

from tests.support.jet.site import Document, Site, tree, write

LUCK = Random(3)
FILES = {
    "/empty.bin": b"",
    "/large.bin": LUCK.randbytes((2 << 20) + 17),
    "/show/ep 1 ü.mov": LUCK.randbytes(70_000),
    "/show/subtitles/de.srt": b"1\n",
    "/show/subtitles/deep/en.srt": b"2\n",
    "/showreel.mov": b"not in the folder show",
}
FOLDERS = {"/show": None, "/show/subtitles": None, "/show/subtitles/deep": None}


def tally(count: int, size: int) -> dict[str, int]:
    return {"count": count, "bytes": size}


def summary(count: int, size: int, failed: int = 0) -> Document:
    return {
        "transferred": tally(count, size),
        "skipped": tally(0, 0),
        "failed": tally(failed, 0),
    }


@pytest.fixture
def full(site: Site) -> Site:
    write(site.source, FILES)
    return site


async def test_named_files_arrive_byte_for_byte_and_no_others(full: Site) -> None:
    delivery = await full.copied("/empty.bin", "/large.bin", "/show/ep 1 ü.mov")

    named = {path: FILES[path] for path in list(FILES)[:3]}
    size = sum(map(len, named.values()))
    assert tree(full.target) == named | {"/show": None}
    assert (delivery["state"], delivery["deliverySummary"]) == (
        "COMPLETED",
        summary(3, size),
    )


async def test_a_folder_arrives_with_all_that_is_below_it_and_nothing_beside(
    full: Site,
) -> None:
    (full.source / "show/empty").mkdir()

    await full.copied("/show/")

    below = {path: each for path, each in FILES.items() if path.startswith("/show/")}
    assert tree(full.target) == below | FOLDERS | {"/show/empty": None}


async def test_a_slash_means_everything(full: Site) -> None:
    (full.source / "empty").mkdir()

    await full.copied("/")

    assert tree(full.target) == tree(full.source) == FILES | FOLDERS | {"/empty": None}


async def test_a_file_named_twice_and_by_its_folder_is_copied_once(full: Site) -> None:
    path = "/show/subtitles/de.srt"
    delivery = await full.copied(path, path, "/show/subtitles/")

    assert delivery["deliverySummary"]["transferred"] == tally(2, 4)


async def test_what_was_there_before_is_replaced_and_the_rest_is_kept(
    full: Site,
) -> None:
    write(full.target, {"/large.bin": b"old", "/other": b"kept"})

    await full.copied("/large.bin")

    large = {"/large.bin": FILES["/large.bin"]}
    assert tree(full.target) == large | {"/other": b"kept"}


async def test_a_file_shows_under_its_name_only_when_it_is_whole(full: Site) -> None:
    await full.tune(bandwidth=4 << 20)
    delivery = await full.start("/large.bin")
    whole = FILES["/large.bin"]

    names = []
    while (await full.ask("GET", delivery))["state"] != "COMPLETED":
        names += [p.name for p in full.target.iterdir()]
        place = full.target / "large.bin"
        assert not place.exists() or place.read_bytes() == whole

    assert any(name.endswith(".part") for name in names)
    assert tree(full.target) == {"/large.bin": whole}


async def test_completed_can_hide_failed_objects(full: Site) -> None:
    delivery = await full.start("/missing.mov", "/empty.bin", "/no such folder/")

    done = await full.finished(delivery)
    assert (done["state"], done["deliverySummary"]) == ("COMPLETED", summary(1, 0, 2))
    (transfer,) = await full.transfers(delivery)
    assert (transfer["state"], transfer["transferProgress"]["failed"]["count"]) == (
        "COMPLETED",
        2,
    )


@pytest.mark.parametrize(
    "path", ["/missing.mov", "/missing/", "/show/none", "/show", "/empty.bin/", "/link"]
)
async def test_a_source_that_is_not_what_it_is_called_fails(
    full: Site, path: str
) -> None:
    """A folder needs isDirectory, a file must not have it, links are not followed."""
    (full.source / "link").symlink_to(full.source / "large.bin")

    delivery = await full.copied(path)

    assert (delivery["state"], delivery["deliverySummary"]) == (
        "FAILED",
        summary(0, 0, 1),
    )
    assert tree(full.target) == {}


async def test_a_link_leads_nowhere_also_inside_a_folder_and_at_the_target(
    full: Site,
) -> None:
    outside = full.source.parent / "outside"
    write(outside, {"/secret": b"s"})
    (full.source / "show/leak").symlink_to(outside / "secret")
    (full.target / "show").symlink_to(outside)

    delivery = await full.copied("/show/")

    assert delivery["deliverySummary"]["transferred"] == tally(0, 0)
    assert tree(outside) == {"/secret": b"s"}


async def test_a_pipe_blocks_nothing_and_fails(full: Site) -> None:
    os.mkfifo(full.source / "pipe")

    delivery = await full.copied("/pipe", "/large.bin")

    assert delivery["deliverySummary"]["failed"]["count"] == 1
    assert set(tree(full.target)) == {"/large.bin"}


async def test_a_target_that_cannot_be_written_fails_the_object(full: Site) -> None:
    (full.target / "empty.bin").mkdir()

    delivery = await full.copied("/empty.bin", "/showreel.mov")

    assert delivery["deliverySummary"] == summary(1, len(FILES["/showreel.mov"]), 1)
    assert tree(full.target) == {
        "/empty.bin": None,
        "/showreel.mov": FILES["/showreel.mov"],
    }


async def test_a_job_lists_its_files_with_their_transfers(full: Site) -> None:
    delivery = await full.start("/showreel.mov", "/missing")
    await full.finished(delivery)

    job = await full.job()
    (transfer,) = (await full.ask("GET", delivery))["transfers"]
    files = (await full.ask("GET", f"{job}/files"))["items"]
    found = {(f["url"].rpartition("/")[2], f["state"]): f["transferId"] for f in files}
    assert found == {
        ("showreel.mov", "COMPLETED"): transfer["transferId"],
        ("missing", "FAILED"): transfer["transferId"],
    }
    failed = (await full.ask("GET", f"{job}/files?state=FAILED"))["items"]
    assert failed == [each for each in files if each["state"] == "FAILED"]
