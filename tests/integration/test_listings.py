"""
What becomes of lost starts, whatever a job's document lists, on real workers.

Each job has a history: deliveries of ours that are known. Then a start is lost on it, and
others follow, which testify. Neither files nor transfers are shown, so that nothing but the list and
the sizes can tell. Where the list is not enough, the lost start came, and is hidden.
"""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web
from aiokafka import AIOKafkaProducer

from jetworker.core.command import ObjectSpec
from jetworker.wire import positions
from tests.support.history import a_known
from tests.support.invariants import judge
from tests.support.jet.documents import Started
from tests.support.jet.fake_server import JetServer
from tests.support.system import Event, System, a_command
from tests.support.waiting import shown_within, until

pytestmark = pytest.mark.integration

NEVER_CAME, CAME = "lost_before", "lost_after"
LATER = 4  # starts on each job, after the lost one
SETTLES = (5, 20, 60)  # seconds


@dataclass(frozen=True)
class Listing:
    """
    What a document lists of so many *known*, and what becomes of a start.

    *is_proven*: the list can be proven to show what it would have to show.
    """

    shows: str
    lost: str = CAME
    is_proven: bool = False
    says: str = ""
    known: int = 12

    @property
    def job(self) -> str:
        """The id of the job that lists this."""
        words = (self.shows, self.lost, self.says.partition(":")[0])
        return "-".join(filter(None, words)).replace(":", "-").replace(" ", "-")


LISTINGS = (
    Listing("all"),
    Listing("all", says="exclusive: true"),
    Listing("all", NEVER_CAME, is_proven=True),
    Listing("all", NEVER_CAME, is_proven=True, says="exclusive: true"),
    Listing("newest:60", NEVER_CAME, is_proven=True),
    Listing("newest:14", NEVER_CAME, is_proven=True, known=26),
    Listing("none"),
    Listing("running"),
    Listing("begun"),
    Listing("newest:4"),
    Listing("oldest:14"),
    Listing("any:13", known=26),
    Listing("behind:600"),
    Listing("now and then"),
)
JOBS = {listing.job: listing for listing in LISTINGS}
ROUTES = "routes:\n" + "".join(
    f"  to-{job}: {{job_id: {job}, {listing.says}}}\n" for job, listing in JOBS.items()
)


@pytest.mark.timeout(1200)
async def test_whatever_a_job_lists_no_lost_start_is_doubled_or_taken_for_another(
    kafka: str, tmp_path: Path
) -> None:
    """On a busy machine what testifies comes too late for the first *settle*."""

    async def missing(settle: int) -> str:
        folder = tmp_path / f"{settle}"
        folder.mkdir()
        changes = {"JETWORKER_STARTS__SETTLE": f"{settle}s"}
        async with JetServer() as jet:
            system = System(kafka, jet, folder, ROUTES, changes)
            try:
                events = await lose_one_on_each_job(await system.create())
            finally:
                await system.close()
        again = {job for job in JOBS if is_started_again(of(events, f"lost-{job}"))}
        assert again <= {each.job for each in LISTINGS if each.is_proven}
        # How many depends on how fast the machine is.
        return "" if again else f"nothing was started again: {held(events)}"

    await shown_within(SETTLES, missing)


async def lose_one_on_each_job(system: System) -> list[Event]:
    """Lose a start on each job, and start others after it; returns what was told."""
    await remember(system)
    system.jet.seconds, system.jet.queued = 2.2, 2.0
    losing = Losing()
    system.jet.fault = losing
    await (await system.worker()).ready()
    lost = [a_command(f"lost-{job}", f"to-{job}") for job in JOBS]
    later = [
        a_command(f"later-{number}-{job}", f"to-{job}")
        for job in JOBS
        for number in range(LATER)
    ]

    await system.publish(*lost)
    await until(lambda: losing.jobs == set(JOBS), "a lost start on each job")
    await system.publish(*later)
    events = await system.decided(len(lost) + len(later))

    events = [e for e in events if not e.kind.startswith("command.")]
    judge(events, [*lost, *later], system.jet)
    ends = {e.kind for e in events if e.is_terminal}
    assert ends == {"delivery.completed"}
    return events


class Losing:
    """Loses the first start on each job, in the job's way; no transfer is listed."""

    def __init__(self) -> None:
        self.jobs: set[str] = set()

    def __call__(self, operation: str, server: JetServer) -> web.Response | str | None:
        if operation == "list_transfers":
            return web.json_response({"items": []})
        job = server.requests[-1][2].split("/")[3:4]
        if operation != "start_delivery" or self.jobs.issuperset(job):
            return None
        self.jobs.update(job)
        return JOBS[job[0]].lost


async def remember(system: System) -> None:
    """Give each job its document, and deliveries that the state topic knows."""
    jet, topic = system.jet, system.config.topics.state
    producer = AIOKafkaProducer(bootstrap_servers=system.kafka)
    await producer.start()
    try:
        owner = positions.encode_owner(system.name)
        for partition in range(system.partitions):
            await producer.send(topic, owner, positions.BEGINNING, partition)
        for job, listing in JOBS.items():
            jet.add_job(job, job)
            jet.listings[job] = listing.shows
            jet.unfiled.add(job)
            for number in range(listing.known):
                name = f"known-{number}-{job}"
                await producer.send(topic, a_past(jet, job, name), name.encode())
        await producer.flush()
    finally:
        await producer.stop()


def a_past(jet: JetServer, job: str, name: str) -> bytes:
    """Let Jet have a delivery that ended an hour ago; returns its snapshot."""
    ago = 3600.0 - len(jet.deliveries)
    size = 5000 + len(jet.deliveries)
    path = f"/show/{name}.mov"
    began = datetime.now(UTC) - timedelta(seconds=ago)
    made = Started(
        f"{len(jet.deliveries):08}-known",
        job,
        [{"relativePath": path, "sizeInBytes": size}],
        0.1,
        created_on=began.isoformat(),
        began=asyncio.get_running_loop().time() - ago,
    )
    jet.deliveries[made.delivery_id] = made
    return a_known(name, job, made.delivery_id, ObjectSpec(path, size), began, began)


def of(events: list[Event], command_id: str) -> list[Event]:
    """Return what was told of a command's delivery."""
    return [e for e in events if e.key == command_id and e.kind.startswith("delivery")]


def is_started_again(events: list[Event]) -> bool:
    """Whether it was, before any operator was asked."""
    return held(events) == {} and events[-1].data["attempt"] > 1


def held(events: list[Event]) -> dict[str | None, str]:
    """Return which commands were held, and for want of what."""
    reasons = ((e.key, e.data.get("reason") or {}) for e in events)
    return {key: of["message"] for key, of in reasons if of.get("code") == "held"}
