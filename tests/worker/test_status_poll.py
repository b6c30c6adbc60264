"""One delivery asked: what is believed, what is told, and in which order."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest
from prometheus_client import CollectorRegistry

from jetworker.core.command import JobId, Send, TransferId
from jetworker.core.delivery import Delivery, FailedObjects, State, Transfer
from jetworker.core.errors import (
    JetNotFound,
    JetRejected,
    JetUnavailable,
    StoreError,
)
from jetworker.core.observation import JetDelivery, JetFile, JetJob, JetTransfer, Listed
from jetworker.core.polling import in_order
from jetworker.core.trigger import DeliveryNotFound, StatusObserved
from jetworker.jet.client import JetClient
from jetworker.runtime.metrics import Metrics
from jetworker.wire import commands
from jetworker.worker.following.followed import FollowedDelivery
from jetworker.worker.following.poll import StatusPoll
from jetworker.worker.handle import DeliveryHandle
from tests.support.builders import (
    DELIVERY,
    JOB,
    a_delivery,
    a_jet_delivery,
    a_jet_transfer,
    a_progress,
)
from tests.support.fakes import HandClock, OneDelivery

GONE = JetNotFound(404, "no such delivery")
RECORD = orjson.dumps(
    {
        "commandId": "c-1",
        "route": "archive",
        "objects": [
            {"relativePath": "/take #2.mov", "sizeInBytes": 1},
            {"relativePath": "/é.mov", "sizeInBytes": 1},
            {"relativePath": "/show", "isDirectory": True},
        ],
    }
)


@dataclass
class FakeJet:
    """Answers as it is told, at the moment when it is asked."""

    clock: HandClock
    delivery: Callable[[], JetDelivery | Exception] = lambda: GONE
    job: Callable[[], JetJob | Exception] = lambda: JetJob(JOB)
    transfers: dict[TransferId, JetTransfer] = field(default_factory=dict)
    files: tuple[JetFile, ...] = ()
    has_more_files: bool = False
    meanwhile: Callable[[], None] = lambda: None

    async def get_delivery(self, *_: Any, **__: Any) -> JetDelivery:
        asked_at, found = self.clock.at, self.delivery()
        self.meanwhile()
        if isinstance(found, Exception):
            raise found
        return replace(found, asked_at=asked_at)

    async def get_job(self, _job_id: JobId, **_: Any) -> JetJob:
        found = self.job()
        if isinstance(found, Exception):
            raise found
        return found

    async def get_transfer(
        self, _job_id: JobId, transfer_id: TransferId, **_: Any
    ) -> JetTransfer:
        if transfer_id not in self.transfers:
            raise GONE
        return replace(self.transfers[transfer_id], asked_at=self.clock.at)

    async def list_files(self, *_: Any, **__: Any) -> Listed[JetFile]:
        return Listed(self.files, len(self.files), has_more=self.has_more_files)


@dataclass
class FakeCommands:
    """The commands topic, with one record on it, or none."""

    value: bytes | None = RECORD
    is_down: bool = False

    async def read(self, partition: int, offset: int) -> Any | None:
        assert (partition, offset) == (0, 7)
        if self.is_down:
            raise StoreError("down")
        return SimpleNamespace(value=self.value, headers=()) if self.value else None


@dataclass
class Scene:
    """One followed delivery, its Jet, and what it was told."""

    clock: HandClock
    jet: FakeJet
    owner: OneDelivery
    followed: FollowedDelivery
    poll: StatusPoll

    async def ask(self) -> None:
        """Ask once, a while later."""
        self.clock.at += 10
        delivery = self.followed.handle.delivery
        assert delivery is not None
        await self.poll.ask(self.followed, delivery)


def a_scene(delivery: Delivery | None = None, **commands: Any) -> Scene:
    clock = HandClock()
    owner = OneDelivery(delivery or a_delivery(State.IN_PROGRESS))
    jet, handle = FakeJet(clock), DeliveryHandle(owner, owner.delivery.command_id)
    followed = FollowedDelivery(handle, JOB, DELIVERY, 0.0, 0.0, 0.0, clock.now())
    poll = StatusPoll(
        cast("JetClient", jet),
        FakeCommands(**commands),
        clock,
        Metrics(CollectorRegistry()),
    )
    return Scene(clock, jet, owner, followed, poll)


async def test_jet_s_own_404_is_believed_after_five_minutes_while_it_shows_the_job() -> (
    None
):
    scene = a_scene()

    for _ in range(30):
        await scene.ask()
    early = list(scene.owner.told)
    await scene.ask()

    assert early == []
    assert scene.owner.told == [DeliveryNotFound()]


@pytest.mark.parametrize(
    "other",
    [a_jet_delivery(), JetRejected(403, "not yours")],
    ids=["it is shown", "it is refused"],
)
async def test_any_other_answer_about_it_begins_the_five_minutes_anew(
    other: JetDelivery | Exception,
) -> None:
    scene = a_scene()
    answers: Iterator[JetDelivery | Exception] = iter([*[GONE] * 30, other])
    scene.jet.delivery = lambda: next(answers, GONE)

    for _ in range(60):
        try:
            await scene.ask()
        except JetRejected:
            continue
    assert DeliveryNotFound() not in scene.owner.told
    for _ in range(2):
        await scene.ask()
    assert DeliveryNotFound() in scene.owner.told


async def test_what_a_listing_shows_while_its_job_is_asked_for_is_not_given_up() -> (
    None
):
    """It is there again, and is asked for again."""
    scene = a_scene()

    def job() -> JetJob:
        scene.followed.denied = None  # as a listing that shows a transfer of it does
        return JetJob(JOB)

    scene.jet.job = job
    for _ in range(40):
        await scene.ask()

    assert scene.owner.told == []


async def test_a_jet_that_does_not_answer_is_no_answer_about_it() -> None:
    scene = a_scene()
    answers: Iterator[Exception] = iter([GONE, JetUnavailable("<html>")] * 15)
    scene.jet.delivery = lambda: next(answers, GONE)

    for _ in range(31):
        try:
            await scene.ask()
        except JetUnavailable:
            continue

    assert scene.owner.told == [DeliveryNotFound()]


async def test_a_silence_of_minutes_is_no_row_of_404s() -> None:
    scene = a_scene()

    await scene.ask()
    scene.clock.at += 3600
    await scene.ask()

    assert scene.owner.told == []


@pytest.mark.parametrize(
    "job", [GONE, JetUnavailable("down")], ids=["it is gone too", "Jet is down"]
)
async def test_a_delivery_whose_job_is_not_shown_is_not_given_up(
    job: Exception,
) -> None:
    scene = a_scene()
    scene.jet.job = lambda: job

    for _ in range(60):
        try:
            await scene.ask()
        except JetUnavailable:
            continue

    assert scene.owner.told == []


async def test_an_answer_that_a_later_one_overtook_is_not_told() -> None:
    """The end neither: it is asked for again, and no listing comes in between."""
    scene = a_scene()
    ended = a_jet_delivery("COMPLETED")
    scene.jet.delivery = lambda: ended

    def list_meanwhile() -> None:
        scene.clock.at += 1
        listed = StatusObserved(replace(a_jet_delivery(), asked_at=scene.clock.at))
        scene.followed.told, _ = in_order(
            scene.followed.told, listed, scene.clock.at + 0.5
        )
        scene.clock.at += 2

    scene.jet.meanwhile = list_meanwhile
    await scene.ask()
    assert scene.owner.told == []
    assert scene.followed.wants_jets_word

    scene.jet.meanwhile = lambda: None
    await scene.ask()
    assert scene.owner.delivery.state is State.COMPLETED


def a_file(url: str, state: str = "FAILED", transfer: str = "t-1") -> JetFile:
    return JetFile(url, TransferId(transfer), state)


def fingerprint() -> bytes:
    found = commands.decode(RECORD, (), max_objects=3)
    assert isinstance(found, Send)
    return found.fingerprint


async def an_end_with_failures(
    *files: JetFile, failed: int = 1, has_more: bool = False, **commands: Any
) -> FailedObjects | None:
    ours = a_delivery(State.IN_PROGRESS, fingerprint=fingerprint(), read_at=(0, 7))
    ours = replace(ours, requested=replace(ours.requested, count=3))
    scene = a_scene(ours, **commands)
    done = replace(a_jet_transfer(state="COMPLETED"), progress=a_progress())
    scene.jet.transfers = {TransferId("t-1"): done}
    scene.jet.files, scene.jet.has_more_files = files, has_more
    scene.jet.delivery = lambda: a_jet_delivery(
        "COMPLETED",
        progress=a_progress(failed=failed),
        transfer_ids=(TransferId("t-1"),),
    )

    await scene.ask()

    assert scene.owner.delivery.state is State.FAILED
    return scene.owner.delivery.failed_objects


async def test_what_failed_is_named_as_the_command_wrote_it() -> None:
    found = await an_end_with_failures(
        a_file("file:///store/take #2.mov"),
        a_file("s3://bucket/x/e\u0301.mov"),
        a_file("https://x/y/show/a%20b.mov?sig=1#x"),
        a_file("file:///store/show/other.mov", transfer="t-of-another"),
        a_file("file:///store/not-ours.mov"),
        a_file("file:///store/show/moved.mov", "COMPLETED"),
        failed=3,
    )

    assert found is not None
    assert found.count == 3
    assert found.paths[:2] == ("/take #2.mov", "/é.mov")
    assert found.paths[2].startswith("/show/a")


async def test_where_jet_shows_only_a_part_of_the_files_none_is_named_as_failed() -> (
    None
):
    """The rest may tell that this one was moved later, and that it was another."""
    file = a_file("file:///store/take #2.mov")

    assert await an_end_with_failures(file) == FailedObjects(1, ("/take #2.mov",))
    assert await an_end_with_failures(file, has_more=True) == FailedObjects(1)


@pytest.mark.parametrize(
    "commands",
    [
        {"value": None},
        {"value": RECORD.replace(b"archive", b"another")},
        {"value": b"{"},
        {"value": b'{"commandId":"c-1","type":"cancel"}'},
        {"is_down": True},
    ],
    ids=["gone", "another", "no command", "a cancel", "down"],
)
async def test_where_the_command_cannot_be_read_again_nothing_is_named(
    commands: dict[str, Any],
) -> None:
    found = await an_end_with_failures(a_file("file:///take #2.mov"), **commands)

    assert found == FailedObjects(1)


async def test_a_failure_that_only_a_transfer_shows_ends_it_as_failed() -> None:
    known = Transfer(TransferId("t-1"), "FAILED")
    scene = a_scene(a_delivery(State.IN_PROGRESS, transfers=(known,)))
    scene.jet.delivery = lambda: a_jet_delivery("COMPLETED", progress=a_progress())

    await scene.ask()

    assert scene.owner.delivery.state is State.FAILED
    assert scene.owner.delivery.failed_objects == FailedObjects(1)
