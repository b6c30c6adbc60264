"""With a data folder the sandbox goes on where it was, also after being killed."""

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from jetworker.sandbox.jet.settings import JobSeed
from tests.support.jet import site as sandboxes
from tests.support.jet.site import QUICK, Document, Site, tree, write
from tests.support.waiting import PATIENCE, until

FILES = {f"/{n}": Random(n).randbytes(60_000) for n in range(4)}


@asynccontextmanager
async def process(folder: Path, *options: str) -> AsyncIterator[Any]:
    """Run `python -m jetworker.sandbox` between the two folders below *folder*."""
    sandboxes.settings(folder)  # makes them
    arguments = [
        f"--profile=Source={folder}/source",
        f"--profile=Target={folder}/target",
    ]
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "jetworker.sandbox",
        *arguments,
        *options,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield running
    finally:
        if running.returncode is None:
            running.kill()
        await running.communicate()


@asynccontextmanager
async def kept(folder: Path, *options: str) -> AsyncIterator[tuple[Site, Any]]:
    """Run a sandbox that keeps its data; yield a way to ask it, and its process."""
    own = ["--port=0", "--job=copy=Source:Target", f"--data={folder}/data"]
    async with process(folder, *own, *options) as running:
        line = (await running.stdout.readline()).decode()
        async with sandboxes.visit(line.split()[-1], folder) as site:
            yield site, running


async def everything(site: Site, delivery: str) -> list[Document]:
    """Return all that can be asked about a delivery and its job."""
    job = delivery.partition("/deliveries/")[0]
    asked = (job, delivery, f"{job}/files", "/v1/jobs")
    documents = [await site.ask("GET", path) for path in asked]
    search = await site.ask("POST", "/v1/jobs/search", {})
    return [*documents, *await site.transfers(delivery), search]


async def test_what_was_shown_before_a_restart_is_shown_after_it(
    tmp_path: Path,
) -> None:
    """Jobs, deliveries, transfers and files; the ids of the profiles too."""
    data = tmp_path / "data"
    async with sandboxes.site(tmp_path, data=data) as site:
        write(site.source, FILES)
        await site.tune(batch_size=3)
        delivery = await site.start("/", "/missing")
        await site.finished(delivery)
        job = await site.job()
        await site.ask("PATCH", job, {"paused": True})
        await site.ask("DELETE", await site.job("grow"))
        before = await everything(site, delivery)

    only = (JobSeed("copy", "Source", "Target"),)
    async with sandboxes.site(tmp_path, data=data, jobs=only) as site:
        after = await everything(site, delivery)
        await site.ask("PATCH", job, {"paused": False})
        assert (await site.copied("/1"))["state"] == "COMPLETED"

    assert after == before


async def test_what_was_created_before_a_restart_stays_in_the_ledger(
    tmp_path: Path,
) -> None:
    """Or an audit by it would say that Jet never made what was delivered."""
    data = tmp_path / "data"
    async with sandboxes.site(tmp_path, data=data) as site:
        write(site.source, FILES)
        own = await site.start("/0", "/1")
        await site.finished(own)
        job = (await site.job()).rpartition("/")[2]
        body = {"job": job, "objects": [{"relativePath": "/2"}]}
        await site.ask("POST", "/_sandbox/deliveries", body)
        before = (await site.ledger())["creations"]

    async with sandboxes.site(tmp_path, data=data) as site:
        after = (await site.ledger())["creations"]
        await site.start("/3")
        last = (await site.ledger())["creations"][-1]

    told = ("deliveryId", "objects", "job", "time", "foreign")
    assert [[each[name] for name in told] for each in after] == [
        [each[name] for name in told] for each in before
    ]
    assert [each["foreign"] for each in after] == [False, True]
    assert last["objects"] == ["/3"]


async def test_without_a_data_folder_nothing_is_remembered(tmp_path: Path) -> None:
    async with sandboxes.site(tmp_path) as site:
        job = await site.job()

    async with sandboxes.site(tmp_path) as site:
        await site.ask("GET", job, status=404)


async def test_a_killed_sandbox_ends_its_deliveries_when_it_is_back(
    tmp_path: Path,
) -> None:
    """What was copied is not copied again; the batch under way is, as a retry."""
    options = ("--batch-size=2", "--bandwidth=100000")
    async with kept(tmp_path, *options) as (site, running):
        write(site.source, FILES)
        delivery = await site.start("/")

        async def is_in_second_batch() -> bool:
            shown = await site.ask("GET", delivery)
            tally = shown["deliverySummary"]["transferred"]
            return bool(tally["bytes"] > 120_000)

        await until(is_in_second_batch, "the second batch to be under way")
        running.kill()
        await running.wait()

    first = {path: tree(tmp_path / "target")[path] for path in ("/0", "/1")}
    (tmp_path / "source/0").write_bytes(b"changed: not to be copied again")
    async with kept(tmp_path, "--batch-size=2") as (site, running):
        done = await site.finished(delivery)
        transfers = await site.transfers(delivery)

        running.send_signal(signal.SIGTERM)
        assert await running.wait() == 0

    assert first == {path: FILES[path] for path in first}
    assert done["deliverySummary"]["transferred"] == {"count": 4, "bytes": 240_000}
    states = [(each["state"], each["metadata"]["isRetry"]) for each in transfers]
    assert states == [("COMPLETED", False), ("CANCELLED", False), ("COMPLETED", True)]
    found = {p: v for p, v in tree(tmp_path / "target").items() if ".part" not in p}
    assert found == FILES


@pytest.mark.parametrize("batch_size", [1, 2, 4])
async def test_a_virtual_delivery_is_finished_after_a_restart(
    tmp_path: Path, batch_size: int
) -> None:
    data = tmp_path / "data"
    objects = [{"relativePath": f"/{n}", "sizeInBytes": 10} for n in range(4)]
    async with sandboxes.site(tmp_path, data=data) as site:
        await site.tune(virtual_seconds=0.4, batch_size=batch_size)
        job = await site.job()
        answer = await site.ask("POST", f"{job}/deliveries", {"objects": objects})
        delivery = f"{job}/deliveries/{answer['deliveryId']}"

        async def is_under_way() -> bool:
            return bool((await site.ask("GET", delivery))["transfers"])

        await until(is_under_way, "the first transfer")

    tuning = replace(QUICK, virtual_seconds=0.2, batch_size=batch_size)
    async with sandboxes.site(tmp_path, data=data, tuning=tuning) as site:
        done = await site.finished(delivery)

    transferred = done["deliverySummary"]["transferred"]
    assert (done["state"], transferred) == ("COMPLETED", {"count": 4, "bytes": 40})


async def test_a_line_cut_short_by_a_crash_costs_nothing_that_comes_later(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    async with sandboxes.site(tmp_path, data=data) as site:
        job = await site.job()
    journal = data / "journal.ndjson"
    journal.write_bytes(journal.read_bytes() + b'{"kind":"delivery","jobId":"')

    async with sandboxes.site(tmp_path, data=data) as site:
        delivery = await site.start("/missing")
        done = await site.finished(delivery)

    async with sandboxes.site(tmp_path, data=data) as site:
        assert await site.job() == job
        assert await site.ask("GET", delivery) == done


async def run_and_say(folder: Path, *options: str) -> tuple[int, str]:
    """Return the exit code and the one line of a sandbox that does not start."""
    async with asyncio.timeout(PATIENCE), process(folder, *options) as running:
        _, said = await running.communicate()
    return running.returncode, said.decode()


async def test_what_cannot_be_served_ends_with_one_clear_line(tmp_path: Path) -> None:
    journal = tmp_path / "data/journal.ndjson"
    write(tmp_path, {"/data/journal.ndjson": b'{"kind":\n{}\n'})
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        tried = {
            (f"--data={journal.parent}", "--port=0"): (2, "line 1 is damaged"),
            ("--job=x=Source:Nowhere", "--port=0"): (2, "no storage profile Nowhere"),
            ("--job=x", "--port=0"): (2, "write NAME="),
            ("--profile=X=/nowhere", "--port=0"): (2, "/nowhere is not a folder"),
            ("--batch-size=0", "--port=0"): (2, "batch_size must be a whole number, 1"),
            ("--bandwidth=-1", "--port=0"): (2, "bandwidth must be a whole number, 1"),
            ("--virtual-seconds=nan", "--port=0"): (2, "virtual_seconds must be"),
            (f"--port={port}",): (1, "something listens there on 127.0.0.1 already"),
            ("--port=70000",): (2, "--port: 70000 is no port, 0 to 65535"),
            ("--host=127.0.0..1", "--port=0"): (
                2,
                "--host: 127.0.0..1 cannot be used: no",
            ),
            ("--host=203.0.113.7", "--port=0"): (1, "--host: 203.0.113.7 cannot be"),
        }
        found = await asyncio.gather(*(run_and_say(tmp_path, *o) for o in tried))

    for (code, said), (expected, words) in zip(found, tried.values(), strict=True):
        assert (code, said.count("\n")) == (expected, 1), said
        assert words in said
        assert said.startswith("jetworker sandbox: ")
