"""
From bytes to events: what comes in is refused, or all that follows can be written.

Whole documents with one part exchanged, and bytes with a few damaged; what is read goes
the whole way: lifecycle, snapshot, event, answer. Kept beside it in `damaged/`: bytes that
were hard once.
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jetworker.core.command import Send
from jetworker.core.delivery import State
from jetworker.core.errors import InvalidRecord
from jetworker.core.finished import Brief, DedupeIndex, Finished, finish
from jetworker.core.known import known_delivery, posts_of
from jetworker.core.lifecycle import accept, set_aside, transition
from jetworker.core.observation import JetDelivery, JetTransfer
from jetworker.core.transitions import Policy, Transition
from jetworker.core.trigger import Found, StatusObserved
from jetworker.wire import commands, jet, snapshots
from jetworker.wire.answers import Answers
from jetworker.wire.events import Envelope
from jetworker.wire.record import Record
from tests.support.builders import (
    DELIVERY,
    NOW,
    a_delivery,
    a_progress,
    an_origin,
)

ENVELOPE = Envelope("jet.events", "/jetworker/g")
ANSWERS = Answers(ENVELOPE, "jet.dead-letters")
DAMAGED = sorted((Path(__file__).parent / "damaged").iterdir())

COUNTS = {
    "transferred": {"count": 1, "bytes": "5"},
    "skipped": {"count": 0},
    "failed": {"count": 1, "bytes": 2},
}
COMMANDS: list[Any] = [
    {
        "commandId": "c-1",
        "type": "send",
        "route": "archive",
        "objects": [
            {"relativePath": "/a.mov", "sizeInBytes": 5},
            {"relativePath": "/b", "isDirectory": True},
        ],
        "metadata": {"ticket": ["OPS-12"]},
        "expiresAt": "2026-12-01T00:00:00Z",
    },
    {"commandId": "c-1", "type": "cancel"},
    {"commandId": "c-1", "type": "resolve", "action": "adopt", "deliveryId": "d-1"},
    {
        "specversion": "1.0",
        "id": "1",
        "source": "/s",
        "type": "t",
        "data": {"commandId": "c-1", "type": "cancel"},
    },
]
SHOWN: dict[str, Any] = {
    "delivery": {
        "deliveryId": DELIVERY,
        "state": "COMPLETED",
        "createdOn": "2026-11-23T10:00:01Z",
        "lastModifiedOn": "2026-11-23T10:00:02Z",
        "deliverySummary": COUNTS,
        "transfers": [{"transferId": "t-1"}],
    },
    "transfer": {
        "transferId": "t-1",
        "state": "FAILED",
        "metadata": {"deliveryId": DELIVERY, "isRetry": True},
        "objectsManifest": {"summary": {"count": 2, "bytes": 7}},
        "transferProgress": COUNTS,
    },
    "job": {
        "jobId": "j-1",
        "name": "archive",
        "paused": False,
        "actions": [{"data": {"source": {"storageProfileId": "p-1"}}}],
        "activity": {"deliveries": [{"deliveryId": DELIVERY}]},
    },
    "file": {
        "url": "s3://b/a.mov",
        "transferId": "t-1",
        "state": "X",
        "sizeInBytes": 5,
    },
    "profile": {"storageProfileId": "p-1", "name": "Ceph", "storageProfileType": "S3"},
    "subscription": {
        "subscriptionId": "s-1",
        "eventCategory": "JET_DELIVERY",
        "eventFilterConfig": {"jobId": "j-1"},
        "notificationConfig": {"url": "https://a.example"},
    },
    "items": {"items": [{"transferId": "t-1"}], "paging": {"total": 1, "next": None}},
}
KEPT = [
    snapshots.encode(each)
    for each in (
        a_delivery(State.STARTING),
        a_delivery(State.IN_PROGRESS, progress=a_progress(), jet_state="X"),
        finish(a_delivery(State.COMPLETED, progress=a_progress(), sample=b"s")),
    )
]

odd: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(
        ["9" * 400, "1e999", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59"]
    )
    | st.lists(st.just({}), max_size=2)
    | st.dictionaries(st.sampled_from(["count", "deliveryId", "a"]), st.just([1]))
)


def places(document: Any, where: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return where something can be exchanged."""
    inner: list[tuple[Any, Any]] = []
    if isinstance(document, dict):
        inner = list(document.items())
    elif isinstance(document, list):
        inner = list(enumerate(document))
    return [where, *(x for name, each in inner for x in places(each, (*where, name)))]


def exchanged(document: Any, where: tuple[Any, ...], value: Any) -> Any:
    if not where:
        return value
    copy = document.copy()
    copy[where[0]] = exchanged(document[where[0]], where[1:], value)
    return copy


def with_odd_parts(document: Any) -> st.SearchStrategy[bytes]:
    """Return a document with two parts exchanged for anything."""

    def twice(change: tuple[Any, Any, Any, Any]) -> bytes:
        first, one, second, other = change
        changed = exchanged(document, first, one)
        return orjson.dumps(
            exchanged(changed, second, other) if second in places(changed) else changed
        )

    where = st.sampled_from(places(document))
    return st.tuples(where, odd, where, odd).map(twice)


def damaged(value: bytes) -> st.SearchStrategy[bytes]:
    """Return bytes of which some were cut out, and others put in their place."""
    place = st.integers(0, len(value))
    return st.builds(
        lambda start, length, other: value[:start] + other + value[start + length :],
        place,
        st.integers(0, 9),
        st.binary(max_size=3),
    )


def one_of(documents: list[Any]) -> st.SearchStrategy[bytes]:
    return st.one_of(
        *(with_odd_parts(each) for each in documents),
        *(damaged(orjson.dumps(each)) for each in documents),
    )


def write(step: Transition) -> None:
    """Write all that a step writes, and read its snapshot as a successor does."""
    delivery = step.delivery
    for event in step.events:
        ENVELOPE.event(event, NOW)
    kept = finish(delivery) if delivery.state.is_final else delivery
    assert snapshots.decode(snapshots.encode(kept)).command_id == delivery.command_id
    if isinstance(kept, Finished):
        DedupeIndex().add(kept)


def receive(value: bytes) -> None:
    try:
        command = commands.decode(value, (), max_objects=10)
    except InvalidRecord as exc:
        record = Record("jet.commands", b"k", value)
        ANSWERS.rejected(exc.reject, an_origin(), record, NOW)
        return
    if isinstance(command, Send):
        step = accept(command, an_origin(), NOW)
        write(step)
        write(set_aside(step.delivery, NOW))


def be_told(value: bytes, read: Callable[[Any], Any]) -> None:
    """Read an answer of Jet's, and tell what it says of a delivery."""
    with suppress(jet.NoAnswer):
        found = read(jet.loads(value))
        known = a_delivery(State.IN_PROGRESS)
        if isinstance(found, JetDelivery):
            write(transition(known, StatusObserved(found, ()), NOW, Policy()))
            adopted = Found(found.delivery_id, found.created_on)
            write(transition(a_delivery(State.HELD), adopted, NOW, Policy()))
        if isinstance(found, JetTransfer):
            write(transition(known, StatusObserved(None, (found,)), NOW, Policy()))


def restore(value: bytes) -> None:
    brief = snapshots.brief(value)
    if brief is not None:
        made_at = None if brief.made_at is None else exact(brief.made_at)
        found = brief._replace(finished_at=exact(brief.finished_at), made_at=made_at)
        assert found == in_brief(snapshots.decode(value))
    with suppress(snapshots.UnreadableSnapshot):
        snapshot = snapshots.decode(value)
        known_delivery(snapshot)
        posts_of(snapshot)
        again = snapshots.decode(snapshots.encode(snapshot))
        assert again.command_id == snapshot.command_id


def exact(seconds: float) -> float:
    return datetime.fromtimestamp(seconds, UTC).timestamp()


def in_brief(whole: snapshots.Snapshot) -> Brief:
    assert isinstance(whole, Finished)
    DedupeIndex().add(whole)
    known, is_whole = known_delivery(whole), whole.state is State.COMPLETED
    is_testifying = known and whole.delivery_id and is_whole and not whole.folders
    made = whole.made_in.lo.timestamp() if whole.made_in and is_testifying else None
    return Brief(
        whole.command_id,
        whole.fingerprint,
        whole.state,
        whole.finished_at.timestamp(),
        whole.delivery_id,
        whole.told_on,
        whole.job_id,
        made,
        whole.doubted_at is not None,
    )


READERS: dict[str, Callable[[Any], Any]] = {
    "delivery": jet.delivery,
    "transfer": jet.transfer,
    "job": jet.job,
    "file": jet.file,
    "profile": jet.profile,
    "subscription": jet.subscription,
    "items": lambda answer: jet.items(answer, jet.transfer),
    "subscriptions": jet.subscriptions,
    "start": jet.delivery_id,
}


@given(one_of(COMMANDS))
@settings(max_examples=50)
def test_any_record_is_refused_or_can_be_told_of(value: bytes) -> None:
    receive(value)


@pytest.mark.parametrize("operation", SHOWN)
def test_any_answer_of_jet_is_none_or_can_be_told_of(operation: str) -> None:
    @given(one_of([SHOWN[operation]]))
    def tell(value: bytes) -> None:
        for read in (READERS[operation], READERS["items"], READERS["start"]):
            be_told(value, read)

    tell()


@given(st.one_of(*map(damaged, KEPT), *map(with_odd_parts, map(orjson.loads, KEPT))))
def test_any_snapshot_is_unreadable_or_can_be_judged_by_and_kept(value: bytes) -> None:
    restore(value)


@pytest.mark.parametrize("path", DAMAGED, ids=lambda path: path.name)
def test_what_was_hard_once_is_read_by_everyone_or_refused(path: Path) -> None:
    value = path.read_bytes()

    receive(value)
    restore(value)
    for read in READERS.values():
        be_told(value, read)
