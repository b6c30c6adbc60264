"""Snapshots made anew from events: bound, remembered, or held; never to be sent."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from jetworker.core.command import CommandId, DeliveryId, JobId, RouteName, Send
from jetworker.core.delivery import (
    Delivery,
    Event,
    EventType,
    Intent,
    Reason,
    ReasonCode,
    State,
    Terms,
    Transfer,
)
from jetworker.core.finished import finish
from jetworker.core.jet_clock import UNHEARD
from jetworker.core.route import OnUncertain, Route
from jetworker.wire import events
from jetworker.wire.events import Envelope, ReadEvent
from jetworker.wire.rebuilding import Rebuilt, rebuild
from tests.support.builders import NOW, a_delivery, a_progress

_ENVELOPE = Envelope("jet.events", "/jetworker/g")
_LATER = NOW + timedelta(minutes=1)
_ROUTE = Route(RouteName("archive"), JobId("job-1"), deadline=timedelta(hours=1))


def _told(*made: Event) -> list[ReadEvent]:
    """Return events as a reader has them."""

    class Seen:
        def __init__(self, event: Event) -> None:
            record = _ENVELOPE.event(event, NOW)
            self.headers: Any = record.headers
            self.value = record.value
            self.partition = record.partition

    return [events.read(Seen(each)) for each in made]


def _command(delivery: Delivery) -> Send:
    return Send(
        delivery.command_id, delivery.route, delivery.objects, delivery.fingerprint
    )


def test_what_was_told_as_ended_is_remembered() -> None:
    ended = a_delivery(
        State.FAILED,
        published=State.FAILED,
        sequence=4,
        metadata=b'{"a":1}',
        progress=a_progress(1),
        reason=Reason(ReasonCode.JET_FAILED, "no"),
        started_at=NOW,
        finished_at=_LATER,
        jet_state="FAILED",
        delivery_id=DeliveryId("d"),
        job_id=JobId("j"),
    )
    told = _told(Event(EventType.FAILED, ended))

    assert rebuild(told, _command(ended), _ROUTE, _LATER) == Rebuilt(finish(ended))
    unknown = rebuild(told, None, None, _LATER).snapshot
    assert unknown == replace(finish(ended), fingerprint=bytes(16))


def test_what_was_told_as_started_is_bound_again_and_followed() -> None:
    transfer = Transfer("t", "IN_PROGRESS", progress=a_progress(1))  # type: ignore[arg-type]  # an id
    moving = a_delivery(
        State.IN_PROGRESS,
        published=State.IN_PROGRESS,
        sequence=3,
        attempt=1,
        traceparent="00-a-b-01",
        job_id=JobId("j"),
        delivery_id=DeliveryId("d"),
        jet_state="IN_PROGRESS",
        progress=a_progress(1),
        started_at=NOW,
        told_on=7,
    )
    last = replace(moving, sequence=4, transfers=(transfer,))
    told = _told(
        Event(EventType.PROGRESSED, moving),
        Event(EventType.TRANSFER_PROGRESSED, last, transfer),
    )

    made = rebuild(told, _command(moving), _ROUTE, _LATER)

    assert made == Rebuilt(
        replace(
            last,
            commanded_at=last.accepted_at,
            terms=Terms(OnUncertain.HOLD, timedelta(hours=1)),
            read_at=None,  # no event tells where the command stands
        )
    )
    unknown = rebuild(told, None, None, _LATER).snapshot
    assert (unknown.fingerprint, unknown.delivery_id) == (bytes(16), "d")


@pytest.mark.parametrize(
    ("route", "job_id"), [(_ROUTE, "job-1"), (None, "unknown")], ids=["known", "not"]
)
def test_whatever_may_have_been_sent_is_held_and_told(
    route: Route | None, job_id: str
) -> None:
    accepted = a_delivery(State.ACCEPTED, sequence=1, command_id=CommandId("c"))
    told = _told(Event(EventType.ACCEPTED, accepted))

    made = rebuild(told, _command(accepted), route, _LATER)

    held = made.snapshot
    assert isinstance(held, Delivery)
    assert made.event == Event(EventType.UNCERTAIN, held)
    assert (held.state, held.published, held.sequence, held.attempt) == (
        State.HELD,
        State.UNCERTAIN,
        2,
        1,
    )
    until = _LATER + UNHEARD  # it may have waited for long before it was sent
    assert held.intent == Intent(JobId(job_id), accepted.accepted_at, hi=until)
    assert (held.objects, held.doubted_at) == (accepted.objects, _LATER)
