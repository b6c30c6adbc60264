"""Snapshots made anew from events: bound, remembered, or held; never to be sent."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from jetworker.core.command import (
    CommandId,
    DeliveryId,
    JobId,
    ObjectSpec,
    RouteName,
    Send,
)
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
from jetworker.core.evidence import Lesson, Shown, learn
from jetworker.core.finished import finish
from jetworker.core.jet_clock import UNHEARD
from jetworker.core.known import known_delivery, posts_of
from jetworker.core.post import contents_of
from jetworker.core.reconcile import Adopt, Candidate, JobFacts, decide, scene
from jetworker.core.route import OnUncertain, Route
from jetworker.core.witness import Row
from jetworker.wire import events, snapshots
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


def _abandoned() -> tuple[Delivery, list[ReadEvent]]:
    unknown = a_delivery(
        State.UNCERTAIN,
        published=State.UNCERTAIN,
        sequence=2,
        command_id=CommandId("left"),
        reason=Reason(ReasonCode.START_UNKNOWN, "lost"),
    )
    ended = replace(
        unknown,
        state=State.FAILED,
        published=State.FAILED,
        sequence=3,
        reason=Reason(ReasonCode.ABANDONED, "given up"),
        finished_at=_LATER,
    )
    told = _told(Event(EventType.UNCERTAIN, unknown), Event(EventType.FAILED, ended))
    return unknown, told


@pytest.mark.parametrize("is_known", [True, False])
def test_a_start_that_was_told_as_unknown_stays_a_rival(is_known: bool) -> None:
    """What an abandoned command has made is not taken for that of one that is held."""
    unknown, told = _abandoned()
    left = rebuild(told, _command(unknown) if is_known else None, _ROUTE, _LATER)
    accepted = a_delivery(State.ACCEPTED, sequence=1, command_id=CommandId("held"))
    held = rebuild(
        _told(Event(EventType.ACCEPTED, accepted)),
        _command(accepted),
        replace(_ROUTE, job_id=unknown.job_id),
        _LATER,
    )
    (ours,) = posts_of(held.snapshot)
    shown = Shown(DeliveryId("x"), "IN_PROGRESS", NOW + timedelta(seconds=5))
    found = Candidate(DeliveryId("x"), shown, _LATER)

    rivals = posts_of(snapshots.decode(snapshots.encode(left.snapshot)))
    on_it = scene([ours, *rivals], [found], JobFacts(is_exclusive=True))

    assert isinstance(decide(ours, Row(), scene([ours], [found], on_it.job)), Adopt)
    assert not isinstance(decide(ours, Row(), on_it), Adopt)
    (rival,) = rivals
    assert rival.is_ghost
    assert rival.contents.folders is not is_known


def test_an_earlier_start_of_what_is_held_or_followed_stays_a_rival_too() -> None:
    unknown, (told, _) = _abandoned()
    again = replace(unknown, sequence=3, attempt=2)
    bound = replace(
        again,
        state=State.STARTED,
        published=State.STARTED,
        delivery_id=DeliveryId("d"),
        started_at=_LATER,
    )
    more = _told(
        Event(EventType.UNCERTAIN, again),
        Event(EventType.STARTED, bound),
    )

    once = rebuild([told], _command(unknown), _ROUTE, _LATER).snapshot
    twice = rebuild([told, more[0]], _command(unknown), _ROUTE, _LATER).snapshot
    followed = rebuild([told, more[1]], _command(unknown), _ROUTE, _LATER).snapshot

    assert [each.attempt for each in posts_of(once)] == [1]
    assert [each.attempt for each in posts_of(twice)] == [1, 2]
    assert [each.attempt for each in posts_of(followed)] == [1]
    assert posts_of(followed)[0].contents == contents_of(unknown.objects)


def test_what_is_followed_again_teaches_what_it_asked_for_or_nothing() -> None:
    objects = (ObjectSpec("/show/a.mov", 5),)
    moving = a_delivery(
        State.STARTED, published=State.STARTED, sequence=2, objects=objects
    )
    told = _told(Event(EventType.STARTED, moving))
    files = frozenset({"s3://bucket/show/a.mov"})
    shown = Shown(DeliveryId("d"), "COMPLETED", files=files)

    known = known_delivery(rebuild(told, _command(moving), _ROUTE, _LATER).snapshot)
    unknown = known_delivery(rebuild(told, None, None, _LATER).snapshot)

    assert known is not None
    assert unknown is not None
    forms = learn([Lesson(known.asked, shown)] * 3).forms
    assert {each.prefix for each in forms} == {"s3://bucket"}
    lessons = [Lesson(known.asked, shown)] * 3 + [Lesson(unknown.asked, shown)]
    assert learn(lessons).forms == forms
