"""One record of each kind that the worker writes, encoded as the worker does."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeAlias

from jetworker.core.admission import Duplicate, admit
from jetworker.core.command import (
    CommandId,
    DeliveryId,
    JobId,
    Origin,
    Reject,
    Resolution,
    Resolve,
    RouteName,
    TransferId,
)
from jetworker.core.delivery import (
    Delivery,
    Event,
    EventType,
    FailedObjects,
    Reason,
    ReasonCode,
    Requested,
    State,
    Transfer,
)
from jetworker.core.observation import Progress, Tally
from jetworker.wire import commands
from jetworker.wire.answers import Answers
from jetworker.wire.events import Envelope
from jetworker.wire.record import Record

_SIZE = 104857600
_THEN = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
_NOW = datetime(2026, 11, 23, 10, 5, tzinfo=UTC)
_ENVELOPE = Envelope("jet.events", "/jetworker/jetworker")
_ANSWERS = Answers(_ENVELOPE, "jet.dead-letters")

_ACCEPTED = Delivery(
    CommandId("order-1"),
    b"",
    RouteName("london-to-paris"),
    Requested(2, 2 * _SIZE),
    commanded_at=_THEN,
    accepted_at=_THEN,
    metadata=b'{"ticket":"OPS-12"}',
    sequence=1,
)
_STARTED = replace(
    _ACCEPTED,
    sequence=2,
    state=State.STARTED,
    published=State.STARTED,
    attempt=1,
    job_id=JobId("6fd0a3b2-0000-4000-8000-000000000001"),
    delivery_id=DeliveryId("b0dea3b2-0000-4000-8000-000000000002"),
    started_at=_THEN,
)
_HALF = Progress(transferred=Tally(1, _SIZE))
_WHOLE = Progress(transferred=Tally(2, 2 * _SIZE))
_PART = Progress(transferred=Tally(1, _SIZE), failed=Tally(1, _SIZE))
_TRANSFER = Transfer(TransferId("492e6c60-4b7f-418c-9165-3433b437018b"), "IN_PROGRESS")

_PAUSED = Reason(ReasonCode.JOB_PAUSED, "the job is paused; resume it in Jet")
_HELD = Reason(
    ReasonCode.HELD, "nothing in the job document shows whether it was started"
)
_INCOMPLETE = Reason(ReasonCode.OBJECTS_FAILED, "Jet completed it, but 1 object failed")

_FAILED = FailedObjects(1, ("/show/ep2.mov",))

# What is told, the state that it tells, Jet's word, the progress, and why.
_Told: TypeAlias = tuple[EventType, State, str | None, Progress | None, Reason | None]
_TOLD: tuple[_Told, ...] = (
    (EventType.ACCEPTED, State.ACCEPTED, None, None, None),
    (EventType.WAITING, State.WAITING, None, None, _PAUSED),
    (EventType.UNCERTAIN, State.UNCERTAIN, None, None, _HELD),
    (EventType.STARTED, State.STARTED, None, None, None),
    (EventType.PROGRESSED, State.IN_PROGRESS, "IN_PROGRESS", _HALF, None),
    (EventType.COMPLETED, State.COMPLETED, "COMPLETED", _WHOLE, None),
    (EventType.FAILED, State.FAILED, "COMPLETED", _PART, _INCOMPLETE),
    (EventType.CANCELLED, State.CANCELLED, None, None, None),
    (EventType.TRANSFER_PROGRESSED, State.IN_PROGRESS, "IN_PROGRESS", _HALF, None),
    (EventType.TRANSFER_COMPLETED, State.IN_PROGRESS, "COMPLETED", _WHOLE, None),
    (EventType.TRANSFER_FAILED, State.IN_PROGRESS, "FAILED", _PART, None),
    (EventType.TRANSFER_CANCELLED, State.IN_PROGRESS, "CANCELLED", _HALF, None),
)


def records() -> Iterator[Record]:
    """Yield a record of each kind of event, of each answer, and a dead letter."""
    for told in _TOLD:
        yield _ENVELOPE.event(_event(told), _NOW)
    origin = Origin("jet.commands", 0, 17, _THEN)
    yield _ANSWERS.duplicate(
        Duplicate(_STARTED.command_id, State.STARTED, _STARTED.delivery_id),
        origin,
        _NOW,
    )
    yield _ANSWERS.applied(
        Resolve(_STARTED.command_id, Resolution.RESEND), origin, _NOW
    )
    value = (
        b'{"commandId":"order-2","route":"nowhere",'
        b'"objects":[{"relativePath":"/show/ep1.mov"}]}'
    )
    command = commands.decode(value, (), max_objects=1)
    reject = admit(command, None, None, _NOW)
    assert isinstance(reject, Reject)
    poison = Record("jet.commands", b"order-2", value)
    yield from _ANSWERS.rejected(reject, origin, poison, _NOW)


def _event(told: _Told) -> Event:
    kind, state, jet_state, progress, reason = told
    is_early = kind in {EventType.ACCEPTED, EventType.WAITING, EventType.CANCELLED}
    delivery = replace(
        _ACCEPTED if is_early else _STARTED,
        state=state,
        published=state,
        sequence=1 if kind is EventType.ACCEPTED else 2 + is_early,
        finished_at=_NOW if state.is_final else None,
        reason=reason,
        failed_objects=_FAILED if state is State.FAILED else None,
    )
    if kind.startswith("transfer."):
        transfer = replace(_TRANSFER, jet_state=jet_state, progress=progress)
        return Event(kind, delivery, transfer)
    if state is State.UNCERTAIN:
        delivery = replace(delivery, delivery_id=None, started_at=None)
    return Event(kind, replace(delivery, jet_state=jet_state, progress=progress))
