"""
What released versions wrote to the state topic, kept as bytes, and what it means.

One file a version: a record a line, its key, a tab, its value; no value is a
tombstone. The files were written by the worker of that version itself, driven through
the stories that the keys tell. They are never changed: a new format gets a new file.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

from jetworker.core.command import (
    CommandId,
    DeliveryId,
    JobId,
    ObjectSpec,
    Origin,
    RouteName,
    TransferId,
)
from jetworker.core.delivery import (
    Delivery,
    Intent,
    PendingAdopt,
    Reason,
    ReasonCode,
    Requested,
    State,
    Terms,
    Transfer,
)
from jetworker.core.finished import Finished
from jetworker.core.observation import Progress, Tally
from jetworker.core.route import OnUncertain
from jetworker.wire.snapshots import Snapshot

StateRecord: TypeAlias = tuple[bytes, bytes | None]

_FILES = Path(__file__).parent.parent / "wire" / "stored_state"
_JOB = JobId("6fd0a3b2-0000-4000-8000-000000000001")
_DELIVERY = DeliveryId("b0dea3b2-0000-4000-8000-000000000002")
_TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def versions() -> list[str]:
    """Return the versions whose records are kept, the latest one last."""
    named = [path.stem for path in _FILES.glob("*.tsv")]
    return sorted(named, key=lambda name: [int(part) for part in name.split(".")])


def records(version: str) -> list[StateRecord]:
    """Return the records of a state partition as *version* wrote them, in order."""
    lines = (_FILES / f"{version}.tsv").read_bytes().removesuffix(b"\n").split(b"\n")
    pairs = [line.split(b"\t") for line in lines]
    return [(key, value or None) for key, value in pairs]


def _at(seconds: float) -> datetime:
    """Return the instant so many seconds after a story's beginning."""
    beginning = datetime(2026, 11, 23, 10, 0, 0, 123456, tzinfo=UTC)
    return beginning + timedelta(seconds=seconds)


def _intent(written_at: float = 1.25, after: DeliveryId | None = None) -> Intent:
    return Intent(_JOB, _at(written_at), _at(written_at - 0.321), after)


def _progress(*transferred: int, **others: tuple[int, int]) -> Progress:
    tallies = {name: Tally(*counts) for name, counts in others.items()}
    skipped, failed = (tallies.get(name, Tally()) for name in ("skipped", "failed"))
    return Progress(Tally(*transferred), skipped, failed)


_BEFORE = DeliveryId("b0dea3b2-0000-4000-8000-000000000009")
_PAUSED = Reason(ReasonCode.JOB_PAUSED, "the job is paused; resume it in Jet")
_LIMIT = Reason(ReasonCode.LIMIT, "the route's max_active is reached")
_LOST = Reason(ReasonCode.START_UNKNOWN, "ReadTimeout")
_HELD = Reason(ReasonCode.HELD, "nothing in the job document shows it")

_ACCEPTED = Delivery(
    command_id=CommandId("accepted"),
    fingerprint=bytes.fromhex("d14f3bf0291864e33256064a43bf0511"),
    route=RouteName("archive"),
    requested=Requested(1, 100),
    commanded_at=datetime(2026, 11, 23, 9, 59, 58, 623000, tzinfo=UTC),
    accepted_at=_at(0),
    objects=(ObjectSpec("/a.mov", 100),),
    sequence=1,
)
# What makes a delivery one that has all it can have.
_ALL: dict[str, Any] = {
    "fingerprint": bytes.fromhex("f7f45f72c913e7dc0d768ce3e39407d2"),
    "requested": Requested(3, None),
    "objects": (
        ObjectSpec("/show/ep1.mov", 104857600),
        ObjectSpec("/show/subtitles", is_directory=True),
        ObjectSpec('/show/naïve "cut".mov'),
    ),
    "metadata": '{"ticket":"OPS-12","who":"Zoë"}'.encode(),
    "traceparent": _TRACE,
    "expires_at": datetime(2026, 12, 1, 0, 0, 0, 500000, tzinfo=UTC),
}
_WAITING = replace(
    _ACCEPTED, state=State.WAITING, published=State.WAITING, sequence=2, reason=_PAUSED
)
_STARTING = replace(
    _ACCEPTED, state=State.STARTING, attempt=1, intent=_intent(), job_id=_JOB
)
_UNCERTAIN = replace(
    _STARTING,
    state=State.UNCERTAIN,
    published=State.UNCERTAIN,
    sequence=2,
    reason=_LOST,
    doubted_at=_at(3.75),
)
_CLEARED = replace(_UNCERTAIN, state=State.CLEARED, intent=None)
_HELD_ONE = replace(_UNCERTAIN, state=State.HELD, sequence=3, reason=_HELD)
_STARTED = replace(
    _ACCEPTED,
    objects=(),
    state=State.STARTED,
    published=State.STARTED,
    sequence=2,
    attempt=1,
    job_id=_JOB,
    delivery_id=_DELIVERY,
    started_at=_at(3.75),
)
_IN_PROGRESS = replace(
    _STARTED,
    state=State.IN_PROGRESS,
    published=State.IN_PROGRESS,
    sequence=3,
    jet_state="IN_PROGRESS",
)
_CANCELLED = Finished(
    command_id=CommandId("cancelled"),
    fingerprint=_ACCEPTED.fingerprint,
    state=State.CANCELLED,
    finished_at=_at(1.25),
    route=RouteName("archive"),
    sequence=2,
)
_COMPLETED = replace(
    _CANCELLED,
    state=State.COMPLETED,
    finished_at=_at(6.25),
    sequence=3,
    attempt=1,
    job_id=_JOB,
    delivery_id=_DELIVERY,
    started_at=_at(3.75),
)


def _waiting(code: ReasonCode, message: str, **changes: Any) -> Delivery:
    return replace(_WAITING, reason=Reason(code, message), **changes)


def _failed(code: ReasonCode, message: str, **changes: Any) -> Finished:
    """Return one that failed before Jet had it."""
    failed = replace(_CANCELLED, state=State.FAILED, reason=Reason(code, message))
    return replace(failed, **changes)


def _failed_at_jet(code: ReasonCode, message: str, **changes: Any) -> Finished:
    failed = replace(
        _COMPLETED,
        state=State.FAILED,
        finished_at=_at(8.75),
        sequence=4,
        reason=Reason(code, message),
    )
    return replace(failed, **changes)


def _adopt(command_id: str, **changes: Any) -> PendingAdopt:
    """Return an operator's order as it was read from the commands topic."""
    timestamp = datetime(2026, 11, 23, 10, 0, 7, 373000, tzinfo=UTC)
    pending = PendingAdopt(
        _DELIVERY,
        Origin("jet.commands", 3, 42, timestamp),
        value=(
            f'{{"commandId":"{command_id}","type":"resolve","action":"adopt",'
            f'"deliveryId":"{_DELIVERY}"}}'
        ).encode(),
    )
    return replace(pending, **changes)


_STORIES: dict[str, Snapshot] = {
    "accepted": _ACCEPTED,
    "accepted-with-all-it-can-have": replace(_ACCEPTED, **_ALL),
    "waiting-job-paused": _WAITING,
    "waiting-limit": replace(_WAITING, reason=_LIMIT),
    "waiting-jet-unavailable": _waiting(
        ReasonCode.JET_UNAVAILABLE, "Jet says: too many requests"
    ),
    "waiting-unauthorized": _waiting(
        ReasonCode.UNAUTHORIZED, "Jet refuses our token, renewed once"
    ),
    "waiting-job-unavailable": _waiting(
        ReasonCode.JOB_UNAVAILABLE, "no job of this name"
    ),
    "waiting-after-a-refused-start": _waiting(
        ReasonCode.JET_UNAVAILABLE,
        "connection refused",
        terms=Terms(deadline=timedelta(hours=6)),
        job_id=_JOB,
        **_ALL,
    ),
    "waiting-after-a-doubt": replace(
        _WAITING, sequence=3, attempt=1, job_id=_JOB, doubted_at=_at(3.75)
    ),
    "starting": _STARTING,
    "starting-with-jet-never-heard": replace(
        _STARTING, intent=Intent(_JOB, _at(1.25), None)
    ),
    "starting-with-all-it-can-have": replace(
        _STARTING,
        published=State.WAITING,
        sequence=2,
        intent=_intent(after=_BEFORE),
        terms=Terms(OnUncertain.HOLD, timedelta(days=1, minutes=90)),
        reason=_LIMIT,
        **_ALL,
    ),
    "starting-again": replace(
        _UNCERTAIN, state=State.STARTING, attempt=2, intent=_intent(after=_BEFORE)
    ),
    "uncertain": _UNCERTAIN,
    "uncertain-with-all-it-can-have": replace(
        _UNCERTAIN,
        intent=_intent(after=_BEFORE),
        terms=Terms(OnUncertain.HOLD, timedelta(hours=6)),
        reason=Reason(ReasonCode.START_UNKNOWN, "Jet answered 503: try later"),
        **_ALL,
    ),
    "cleared-by-proof": _CLEARED,
    "cleared-by-the-route": replace(
        _CLEARED,
        terms=Terms(OnUncertain.RESEND),
        reason=Reason(
            ReasonCode.START_UNKNOWN,
            "ReadTimeout; the route says resend: a second delivery is possible",
        ),
    ),
    "cleared-by-an-operator": replace(_CLEARED, sequence=3, reason=_HELD),
    "held": _HELD_ONE,
    "held-with-no-attempts-left": replace(
        _HELD_ONE,
        sequence=5,
        attempt=3,
        intent=_intent(16.25),
        reason=Reason(ReasonCode.HELD, "all 3 attempts are used up"),
        doubted_at=_at(18.75),
    ),
    "held-with-an-adopt": replace(
        _HELD_ONE,
        pending=_adopt(
            "held-with-an-adopt",
            origin=replace(_adopt("").origin, traceparent=_TRACE),
            key=b"\x00key\xff",
            headers=(
                ("traceparent", _TRACE.encode()),
                ("source", b"\xff\xfe desk"),
                ("empty", None),
            ),
        ),
        **_ALL,
    ),
    "held-with-an-adopt-without-key": replace(
        _HELD_ONE, pending=_adopt("held-with-an-adopt-without-key")
    ),
    "held-after-a-refused-adopt": _HELD_ONE,
    "started": _STARTED,
    "started-with-all-it-can-have": replace(
        _STARTED, terms=Terms(deadline=timedelta(hours=6)), **(_ALL | {"objects": ()})
    ),
    "started-by-being-found": replace(
        _STARTED,
        sequence=3,
        adopted=True,
        started_at=datetime(2026, 11, 23, 9, 59, 59, 250456, tzinfo=UTC),
        doubted_at=_at(3.75),
    ),
    "started-by-an-adopt": replace(
        _STARTED,
        sequence=4,
        adopted=True,
        started_at=_at(10),
        doubted_at=_at(3.75),
        **(_ALL | {"objects": ()}),
    ),
    "started-with-transfers": replace(
        _STARTED,
        sequence=4,
        transfers=(
            Transfer(TransferId("t-1"), "IN_PROGRESS"),
            Transfer(TransferId("t-2"), "QUEUED"),
        ),
    ),
    "in-progress": _IN_PROGRESS,
    "in-progress-in-an-unknown-state-of-jet": replace(
        _IN_PROGRESS, jet_state="RE-INDEXING"
    ),
    "in-progress-with-counts-alone": replace(
        _IN_PROGRESS, sequence=4, progress=_progress(1, 40), counted_at=_at(8.75)
    ),
    "in-progress-with-all-it-can-have": replace(
        _IN_PROGRESS,
        sequence=10,
        terms=Terms(deadline=timedelta(hours=6)),
        progress=_progress(1, 30, skipped=(1, 20), failed=(1, 10)),
        counted_at=_at(8.75),
        transfers=(
            Transfer(
                TransferId("t-1"),
                "IN_PROGRESS",
                progress=_progress(0, 7, skipped=(1, 20)),
                counted_at=_at(8.75),
            ),
            Transfer(TransferId("t-2"), "COMPLETED", progress=_progress(1, 30)),
            Transfer(
                TransferId("t-3"), "FAILED", progress=_progress(0, 0, failed=(1, 10))
            ),
            Transfer(TransferId("t-4"), "CANCELLED", is_retry=True),
            Transfer(TransferId("t-5")),
        ),
        **(_ALL | {"objects": ()}),
    ),
    "completed": _COMPLETED,
    "completed-after-an-adopt": replace(
        _COMPLETED,
        fingerprint=_ALL["fingerprint"],
        finished_at=_at(12.5),
        sequence=5,
        started_at=_at(10),
        doubted_at=_at(3.75),
    ),
    "completed-under-an-id-that-is-no-uuid": replace(
        _COMPLETED, delivery_id=DeliveryId("delivery/7")
    ),
    "failed-expired": _failed(
        ReasonCode.EXPIRED, "expiresAt passed before it could be started"
    ),
    "failed-job-paused": _failed(ReasonCode.JOB_PAUSED, "the job is paused"),
    "failed-job-not-found": _failed(
        ReasonCode.JOB_NOT_FOUND,
        "Jet knows no job of this id",
        finished_at=_at(3.75),
        job_id=_JOB,
    ),
    "failed-rejected-by-jet": _failed(
        ReasonCode.REJECTED_BY_JET,
        'Jet said 422: objects[0] "is" wrong — naïve',
        finished_at=_at(3.75),
        job_id=_JOB,
    ),
    "failed-jet-failed": _failed_at_jet(
        ReasonCode.JET_FAILED, "Jet says the delivery failed"
    ),
    "failed-jet-cancelled": _failed_at_jet(
        ReasonCode.JET_CANCELLED, "Jet says the delivery was cancelled"
    ),
    "failed-objects-failed": _failed_at_jet(
        ReasonCode.OBJECTS_FAILED, "Jet completed it, but 1 objects failed"
    ),
    "failed-delivery-not-found": _failed_at_jet(
        ReasonCode.DELIVERY_NOT_FOUND,
        "Jet no longer knows the delivery",
        finished_at=_at(6.25),
        sequence=3,
    ),
    "failed-abandoned": _failed_at_jet(
        ReasonCode.ABANDONED,
        "given up by an operator; Jet may still be at work",
        delivery_id=None,
        started_at=None,
        doubted_at=_at(3.75),
    ),
    "failed-deadline-exceeded": _failed_at_jet(
        ReasonCode.DEADLINE_EXCEEDED,
        "the route's deadline passed; Jet may still be at work on it",
        fingerprint=_ALL["fingerprint"],
        finished_at=_at(6.25),
        sequence=3,
    ),
    "cancelled": _CANCELLED,
    "forgotten": _CANCELLED,
}

# What the snapshots of each version mean, by their keys.
SNAPSHOTS: dict[str, dict[str, Snapshot]] = {
    "0.1.0": {
        key: replace(snapshot, command_id=CommandId(key))
        for key, snapshot in _STORIES.items()
    }
}
