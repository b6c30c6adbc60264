"""The lifecycle: every edge, what is told on it, and what is never told twice."""

from dataclasses import replace
from datetime import datetime

import pytest

from jetworker.core import lifecycle
from jetworker.core.command import DeliveryId, TransferId
from jetworker.core.delivery import (
    Delivery,
    EventType,
    FailedObjects,
    Intent,
    OrderKind,
    PendingAdopt,
    Reason,
    ReasonCode,
    State,
    Terms,
    Transfer,
    WaitingOrder,
)
from jetworker.core.errors import IllegalTransition
from jetworker.core.evidence import Shown
from jetworker.core.finished import finish
from jetworker.core.known import posts_of
from jetworker.core.lifecycle import accept, plain, set_aside, transition
from jetworker.core.observation import Progress
from jetworker.core.post import Ghost, Window, contents_of
from jetworker.core.progress import would_fail
from jetworker.core.reconcile import Candidate, JobFacts, LookAgain, decide, scene
from jetworker.core.route import OnUncertain
from jetworker.core.transitions import Effect, Policy, Transition
from jetworker.core.trigger import (
    AbandonOrdered,
    Absent,
    AdoptOrdered,
    AdoptRefused,
    Begun,
    Blocked,
    CancelOrdered,
    Claimed,
    DeadlinePassed,
    Deferred,
    DeliveryNotFound,
    Found,
    Lost,
    OrderQueued,
    Refused,
    ResendOrdered,
    StartConfirmed,
    StatusObserved,
    Trigger,
    Undecided,
)
from jetworker.core.witness import Row
from tests.support.builders import (
    DELIVERY,
    JOB,
    NOW,
    SECOND,
    a_delivery,
    a_jet_delivery,
    a_jet_transfer,
    a_progress,
    a_send,
    an_origin,
)

POLICY = Policy(max_attempts=3, progress_interval=10 * SECOND)
OTHER = DeliveryId("other")
TRIGGERS: tuple[Trigger, ...] = (
    Blocked(ReasonCode.LIMIT, "full"),
    Deferred(Blocked(ReasonCode.JOB_PAUSED, "paused")),
    Refused(ReasonCode.EXPIRED, "too late"),
    Begun(Intent(JOB, NOW), Terms()),
    StartConfirmed(DELIVERY),
    Lost("no answer"),
    Found(DELIVERY, NOW),
    Absent(),
    Undecided("nothing to see"),
    CancelOrdered(),
    Claimed(OTHER),
    AdoptOrdered(PendingAdopt(OTHER, an_origin())),
    OrderQueued(WaitingOrder(OrderKind.RESEND, an_origin())),
    AdoptRefused(),
    ResendOrdered(),
    AbandonOrdered(),
    StatusObserved(None),
    StatusObserved(a_jet_delivery("IN_PROGRESS")),
    StatusObserved(a_jet_delivery("COMPLETED")),
    StatusObserved(a_jet_delivery("FAILED")),
    DeliveryNotFound(),
    DeadlinePassed(),
)


def deliveries() -> list[Delivery]:
    """Return every state, in every shape that makes a difference."""
    resend = Terms(on_uncertain=OnUncertain.RESEND)
    every = [a_delivery(state) for state in State]
    every.append(a_delivery(State.STARTING, terms=resend))
    every.append(a_delivery(State.STARTING, terms=resend, attempt=3))
    every.append(a_delivery(State.UNCERTAIN, attempt=3))
    return every


def _concerns(delivery: Delivery, trigger: Trigger) -> bool:
    """Whether a trigger is of any concern to a delivery: none that comes too late is."""
    if isinstance(trigger, Blocked):
        return delivery.state.is_startable
    return not delivery.state.is_final


def edges() -> set[str]:
    """Try every state with every trigger, and draw what happens."""
    drawn = {"[*] --> accepted : accept"}
    for delivery in deliveries():
        for trigger in TRIGGERS:
            try:
                step = transition(delivery, trigger, NOW, POLICY)
            except IllegalTransition:
                continue
            if _concerns(delivery, trigger):
                name = type(trigger).__name__
                drawn.add(f"{delivery.state} --> {step.delivery.state} : {name}")
    return drawn


def test_the_diagram_shows_every_edge_and_no_other() -> None:
    """The mermaid diagram in the module docstring is what the code does."""
    doc = lifecycle.__doc__ or ""
    drawn = {line.strip() for line in doc.splitlines() if "-->" in line}

    assert drawn == edges()


def test_a_final_state_is_final() -> None:
    for state in (State.COMPLETED, State.FAILED, State.CANCELLED):
        for trigger in TRIGGERS:
            delivery = a_delivery(state)

            step = transition(delivery, trigger, NOW, POLICY)

            assert step == Transition(delivery)


def test_what_is_in_a_route_s_way_changes_none_that_does_not_wait_on_it() -> None:
    """One that has begun meanwhile would be begun no more while Jet starts it."""
    obstacle = Blocked(ReasonCode.LIMIT, "full")
    for delivery in deliveries():
        step = transition(delivery, obstacle, NOW, POLICY)

        if delivery.state.is_startable:
            assert step.delivery.state is State.WAITING
        else:
            assert step == Transition(delivery)


def test_an_illegal_trigger_is_a_bug_and_says_so() -> None:
    with pytest.raises(IllegalTransition, match="StartConfirmed while accepted"):
        transition(a_delivery(), StartConfirmed(DELIVERY), NOW, POLICY)


def test_every_event_has_the_next_sequence_number() -> None:
    for delivery in deliveries():
        for trigger in TRIGGERS:
            try:
                step = transition(delivery, trigger, NOW, POLICY)
            except IllegalTransition:
                continue
            numbers = [event.delivery.sequence for event in step.events]
            first = delivery.sequence + 1

            assert numbers == list(range(first, first + len(numbers)))
            assert step.delivery.sequence == delivery.sequence + len(numbers)


def test_a_command_is_accepted_with_what_it_asked_for() -> None:
    step = accept(a_send(), an_origin(), NOW)

    (event,) = step.events
    assert (event.type, event.delivery.sequence) == (EventType.ACCEPTED, 1)
    assert event.delivery.requested.count == 1
    assert event.delivery.requested.bytes == 100
    assert step.effect is Effect.QUEUE_START


def test_bytes_are_unknown_if_any_size_is() -> None:
    send = a_send()
    unknown = replace(send.objects[0], size=None)

    step = accept(replace(send, objects=(*send.objects, unknown)), an_origin(), NOW)

    assert step.delivery.requested.bytes is None


def test_waiting_is_told_once_per_reason_in_a_row() -> None:
    limit = Blocked(ReasonCode.LIMIT, "full")
    paused = Blocked(ReasonCode.JOB_PAUSED, "paused")
    delivery, told = a_delivery(), []
    for trigger in (limit, limit, paused, paused, limit):
        step = transition(delivery, trigger, NOW, POLICY)
        delivery = step.delivery
        told += [e.delivery.reason.code for e in step.events if e.delivery.reason]

    assert told == [ReasonCode.LIMIT, ReasonCode.JOB_PAUSED, ReasonCode.LIMIT]


def test_a_refused_start_that_waits_again_for_the_same_reason_is_not_told_again() -> (
    None
):
    busy = Blocked(ReasonCode.JET_UNAVAILABLE, "busy")
    waiting = transition(a_delivery(), busy, NOW, POLICY).delivery
    begun = transition(waiting, Begun(Intent(JOB, NOW), Terms()), NOW, POLICY).delivery

    again = transition(begun, Deferred(busy), NOW, POLICY)

    assert again.events == ()
    assert again.effect is Effect.QUEUE_START
    assert (again.delivery.state, again.delivery.attempt) == (State.WAITING, 0)


def test_the_intent_counts_an_attempt_and_a_plain_refusal_takes_it_back() -> None:
    begun = transition(a_delivery(), Begun(Intent(JOB, NOW), Terms()), NOW, POLICY)
    refused = transition(
        begun.delivery, Refused(ReasonCode.REJECTED_BY_JET, "no"), NOW, POLICY
    )

    assert begun.delivery.attempt == 1
    assert begun.effect is Effect.SEND_START
    assert refused.delivery.attempt == 0


def test_a_started_delivery_forgets_its_objects() -> None:
    started = transition(
        a_delivery(State.STARTING), StartConfirmed(DELIVERY), NOW, POLICY
    )

    (event,) = started.events
    assert event.type is EventType.STARTED
    assert (event.delivery.objects, event.delivery.intent) == ((), None)
    assert (event.delivery.delivery_id, event.delivery.adopted) == (DELIVERY, False)


def test_an_adopted_delivery_started_when_jet_created_it() -> None:
    created = NOW - 5 * SECOND

    found = transition(
        a_delivery(State.UNCERTAIN), Found(DELIVERY, created), NOW, POLICY
    )

    assert found.delivery.adopted
    assert found.delivery.started_at == created


def test_absence_clears_for_another_start_until_the_attempts_are_used_up() -> None:
    cleared = transition(a_delivery(State.UNCERTAIN), Absent(), NOW, POLICY)
    held = transition(a_delivery(State.UNCERTAIN, attempt=3), Absent(), NOW, POLICY)

    assert (cleared.delivery.state, cleared.events) == (State.CLEARED, ())
    assert cleared.effect is Effect.QUEUE_START
    assert held.delivery.state is State.HELD
    assert [e.type for e in held.events] == [EventType.UNCERTAIN]


def test_an_operator_may_resend_beyond_the_attempts() -> None:
    held = a_delivery(State.HELD, attempt=3)

    step = transition(held, ResendOrdered(), NOW, POLICY)
    begun = transition(step.delivery, Begun(Intent(JOB, NOW), Terms()), NOW, POLICY)

    assert step.delivery.state is State.CLEARED
    assert begun.delivery.attempt == 4


def test_a_route_that_says_resend_tells_that_a_second_delivery_is_possible() -> None:
    terms = Terms(on_uncertain=OnUncertain.RESEND)

    step = transition(
        a_delivery(State.STARTING, terms=terms), Lost("reset"), NOW, POLICY
    )

    (event,) = step.events
    assert event.delivery.reason is not None
    assert "a second delivery is possible" in event.delivery.reason.message
    assert step.delivery.state is State.CLEARED


def test_a_held_command_is_published_as_uncertain() -> None:
    step = transition(a_delivery(State.UNCERTAIN), Undecided("?"), NOW, POLICY)

    assert step.delivery.state is State.HELD
    assert step.delivery.published is State.UNCERTAIN


def test_completed_with_failed_objects_is_failed() -> None:
    seen = a_jet_delivery("COMPLETED", progress=a_progress(failed=2))

    step = transition(a_delivery(State.STARTED), StatusObserved(seen), NOW, POLICY)

    assert step.delivery.state is State.FAILED
    assert step.delivery.reason is not None
    assert step.delivery.reason.code is ReasonCode.OBJECTS_FAILED
    assert step.delivery.progress == a_progress(failed=2)


def ending(
    *transfers: Transfer,
    progress: Progress | None = None,
    state: str = "COMPLETED",
    paths: tuple[str, ...] = (),
) -> Delivery:
    """Return a delivery with these transfers as Jet's last word leaves it."""
    seen = StatusObserved(a_jet_delivery(state, progress=progress), failed_paths=paths)
    delivery = a_delivery(State.IN_PROGRESS, transfers=transfers)
    return transition(delivery, seen, NOW, POLICY).delivery


def a_transfer(state: str = "COMPLETED", failed: int | None = None) -> Transfer:
    progress = None if failed is None else a_progress(failed=failed)
    return Transfer(TransferId(f"t-{state}-{failed}"), state, progress=progress)


UNCLEAR = replace(a_progress(), is_failed_known=False)


@pytest.mark.parametrize(
    ("delivery", "failed"),
    [
        (ending(a_transfer("FAILED")), 1),
        (ending(a_transfer(failed=2)), 2),
        (ending(a_transfer(failed=2), a_transfer("FAILED", 3)), 5),
        (ending(a_transfer(failed=2), progress=a_progress(failed=0)), 2),
        (ending(a_transfer("FAILED"), progress=a_progress(failed=0)), 1),
        (ending(a_transfer(failed=1), progress=a_progress(failed=4)), 4),
        (ending(progress=UNCLEAR), 1),
        (ending(a_transfer(failed=2), progress=UNCLEAR), 2),
        (ending(replace(a_transfer(), progress=UNCLEAR)), 1),
        (ending(paths=("/a", "/b")), 2),
    ],
    ids=map(str, range(10)),
)
def test_a_delivery_whose_transfers_show_a_failure_is_never_completed(
    delivery: Delivery, failed: int
) -> None:
    objects = "1 object" if failed == 1 else f"{failed} objects"
    assert delivery.state is State.FAILED
    assert delivery.reason == Reason(
        ReasonCode.OBJECTS_FAILED, f"Jet completed it, but {objects} failed"
    )
    assert delivery.failed_objects is not None
    assert delivery.failed_objects.count == failed


@pytest.mark.parametrize(
    "delivery",
    [
        ending(),
        ending(progress=a_progress()),
        ending(a_transfer(), a_transfer("CANCELLED"), progress=a_progress()),
        ending(a_transfer(), progress=UNCLEAR),
        ending(a_transfer(failed=0), progress=UNCLEAR),
    ],
    ids=map(str, range(5)),
)
def test_the_transfers_decide_where_a_failed_count_cannot_be_read(
    delivery: Delivery,
) -> None:
    assert (delivery.state, delivery.failed_objects) == (State.COMPLETED, None)


def test_what_failed_is_named_as_far_as_jet_names_it_and_never_endlessly() -> None:
    many = tuple(f"/{number}.mov" for number in range(30))

    named = ending(progress=a_progress(failed=40), paths=many)
    jet_failed = ending(state="FAILED", paths=("/a.mov",))
    fine = ending(state="FAILED")

    assert named.failed_objects == FailedObjects(40, many[:20])
    assert jet_failed.failed_objects == FailedObjects(1, ("/a.mov",))
    assert fine.failed_objects is None


def test_jet_is_asked_for_names_where_something_failed() -> None:
    delivery = a_delivery(State.IN_PROGRESS, transfers=(a_transfer(failed=1),))
    done = a_jet_delivery("COMPLETED", progress=a_progress())

    assert would_fail(delivery, done)
    assert would_fail(replace(delivery, transfers=()), replace(done, state="FAILED"))
    assert not would_fail(replace(delivery, transfers=()), done)


def test_whatever_ends_a_delivery_tells_the_failures_that_were_seen() -> None:
    delivery = a_delivery(State.IN_PROGRESS, transfers=(a_transfer(failed=2),))

    ended = transition(delivery, DeadlinePassed(), NOW, POLICY).delivery

    assert ended.failed_objects == FailedObjects(2)


def test_counts_that_jet_takes_back_are_told_as_they_are() -> None:
    delivery = a_delivery(State.IN_PROGRESS, progress=a_progress(size=80))
    seen = a_jet_delivery(progress=a_progress(size=20))

    step = transition(delivery, StatusObserved(seen, is_back=True), NOW, POLICY)

    assert step.delivery.progress == a_progress(size=20)


def test_a_delivery_knows_so_many_transfers_as_fit_into_its_snapshot() -> None:
    many = tuple(TransferId(f"t-{number}") for number in range(6000))
    more = tuple(a_jet_transfer(f"u-{number}") for number in range(3))
    seen = StatusObserved(a_jet_delivery(transfer_ids=many), more)

    step = transition(a_delivery(State.STARTED), seen, NOW, POLICY)

    assert [t.transfer_id for t in step.delivery.transfers] == list(many[:5000])


@pytest.mark.parametrize("state", [State.ACCEPTED, State.WAITING])
def test_what_was_not_started_fails_where_our_own_code_does(state: State) -> None:
    step = set_aside(a_delivery(state), NOW)

    assert step.delivery.state is State.FAILED
    assert step.delivery.reason is not None
    assert step.delivery.reason.code is ReasonCode.INTERNAL_ERROR
    assert [event.type for event in step.events] == [EventType.FAILED]


@pytest.mark.parametrize(
    "delivery",
    [
        a_delivery(State.WAITING, attempt=1),
        *(
            a_delivery(state)
            for state in State
            if not state.is_final and state not in {State.ACCEPTED, State.WAITING}
        ),
    ],
    ids=lambda delivery: delivery.state.value + str(delivery.attempt),
)
def test_what_may_have_been_started_is_held_where_our_own_code_fails(
    delivery: Delivery,
) -> None:
    once = set_aside(delivery, NOW)
    again = set_aside(once.delivery, NOW)

    assert once.delivery.state is State.HELD
    assert once.delivery.delivery_id == delivery.delivery_id
    assert once.delivery.intent == delivery.intent
    assert once.delivery.reason is not None
    assert once.delivery.reason.code is ReasonCode.HELD
    assert "defect" in once.delivery.reason.message
    assert [event.type for event in once.events] == [EventType.UNCERTAIN]
    assert again == Transition(once.delivery)


def test_what_is_held_already_is_told_once_a_doubt() -> None:
    held = a_delivery(State.HELD, published=State.UNCERTAIN)

    step = set_aside(held, NOW)

    assert step.events == ()
    assert step.delivery.reason is not None
    assert "defect" in step.delivery.reason.message


@pytest.mark.parametrize(
    ("state", "doubted"), [(State.STARTING, NOW), (State.UNCERTAIN, None)]
)
def test_a_start_in_flight_on_which_our_code_fails_is_doubted(
    state: State, doubted: datetime | None
) -> None:
    assert set_aside(a_delivery(state), NOW).delivery.doubted_at == doubted


def test_a_plain_one_is_still_the_same_delivery() -> None:
    delivery = a_delivery(
        State.IN_PROGRESS, jet_state="IN_PROGRESS", progress=a_progress()
    )

    bare = plain(delivery)

    assert (bare.metadata, bare.traceparent, bare.progress) == (None, None, None)
    assert (bare.command_id, bare.fingerprint, bare.delivery_id, bare.sequence) == (
        delivery.command_id,
        delivery.fingerprint,
        delivery.delivery_id,
        delivery.sequence,
    )


def test_what_is_followed_on_by_its_own_delivery_keeps_what_was_known() -> None:
    known = a_delivery(State.IN_PROGRESS, sample=b"s", folders=True, started_at=NOW)
    held = set_aside(known, NOW).delivery

    step = transition(held, Found(DELIVERY, NOW + SECOND), NOW, POLICY)

    assert step.delivery == replace(
        held,
        state=State.STARTED,
        published=State.STARTED,
        sequence=held.sequence + 1,
        reason=None,
    )


def test_what_has_ended_is_not_set_aside() -> None:
    ended = a_delivery(State.COMPLETED)

    assert set_aside(ended, NOW) == Transition(ended)


def test_what_is_held_for_a_defect_rests_until_an_operator_says_what_to_do() -> None:
    held = set_aside(a_delivery(State.IN_PROGRESS), NOW)

    on = transition(held.delivery, Found(DELIVERY, NOW), NOW, POLICY)
    given_up = transition(held.delivery, AbandonOrdered(), NOW, POLICY)

    assert held.effect is Effect.REST
    assert (on.delivery.state, on.delivery.adopted) == (State.STARTED, False)
    assert given_up.delivery.state is State.FAILED


@pytest.mark.parametrize(
    ("jet_state", "code"),
    [
        ("FAILED", ReasonCode.JET_FAILED),
        ("CANCELLED", ReasonCode.JET_CANCELLED),
        ("CANCELED", ReasonCode.JET_CANCELLED),
    ],
)
def test_what_jet_ended_otherwise_is_failed(jet_state: str, code: ReasonCode) -> None:
    seen = StatusObserved(a_jet_delivery(jet_state))

    step = transition(a_delivery(State.STARTED), seen, NOW, POLICY)

    assert step.delivery.reason is not None
    assert step.delivery.reason.code is code


def test_an_unknown_jet_state_is_in_progress_with_the_raw_word() -> None:
    seen = StatusObserved(a_jet_delivery("PONDERING"))

    step = transition(a_delivery(State.STARTED), seen, NOW, POLICY)

    assert step.delivery.state is State.IN_PROGRESS
    assert step.delivery.jet_state == "PONDERING"


def test_counts_never_go_back_on_the_way_but_end_as_jet_says() -> None:
    """Jet's own word may lag behind the sum of the transfers, which came before it."""
    delivery, told = a_delivery(State.STARTED), []
    for number, (state, size) in enumerate(
        [("IN_PROGRESS", 100), ("IN_PROGRESS", 40), ("QUEUED", 50), ("COMPLETED", 90)]
    ):
        seen = a_jet_delivery(state, progress=a_progress(size=size))
        now = NOW + 60 * number * SECOND
        step = transition(delivery, StatusObserved(seen), now, POLICY)
        delivery = step.delivery
        told += [event.delivery.progress for event in step.events]

    assert told == [a_progress(size=size) for size in (100, 100, 90)]


def test_states_may_go_back_and_are_told_each_time() -> None:
    delivery, told = a_delivery(State.STARTED), []
    for state in ("CREATED", "QUEUED", "IN_PROGRESS", "QUEUED", "QUEUED"):
        step = transition(delivery, StatusObserved(a_jet_delivery(state)), NOW, POLICY)
        delivery = step.delivery
        told += [event.delivery.jet_state for event in step.events]

    assert told == ["CREATED", "QUEUED", "IN_PROGRESS", "QUEUED"]


def test_counts_alone_are_told_once_per_interval() -> None:
    delivery, told = a_delivery(State.STARTED), []
    for second in range(25):
        seen = a_jet_delivery(progress=a_progress(size=second))
        step = transition(delivery, StatusObserved(seen), NOW + second * SECOND, POLICY)
        delivery = step.delivery
        told += [second for _ in step.events]

    assert told == [0, 1, 11, 21]


def test_every_known_transfer_ends_before_the_delivery() -> None:
    running = a_jet_delivery(transfer_ids=(a_jet_transfer().transfer_id,))
    ended = replace(running, state="COMPLETED")
    delivery = transition(
        a_delivery(State.STARTED), StatusObserved(running), NOW, POLICY
    ).delivery

    early = transition(delivery, StatusObserved(ended), NOW, POLICY)
    late = transition(
        delivery,
        StatusObserved(ended, (a_jet_transfer(state="COMPLETED"),)),
        NOW,
        POLICY,
    )

    assert early.events == ()
    assert [event.type for event in late.events] == [
        EventType.TRANSFER_COMPLETED,
        EventType.COMPLETED,
    ]


def test_a_transfer_that_jet_never_ends_does_not_hold_the_end_for_ever() -> None:
    ended = a_jet_delivery("COMPLETED", transfer_ids=(a_jet_transfer().transfer_id,))

    step = transition(
        a_delivery(State.STARTED),
        StatusObserved(ended, (a_jet_transfer(),), conclusive=True),
        NOW,
        POLICY,
    )

    assert [event.type for event in step.events] == [
        EventType.TRANSFER_PROGRESSED,
        EventType.COMPLETED,
    ]


def test_a_transfer_that_shows_nothing_new_is_not_told() -> None:
    seen = StatusObserved(None, (a_jet_transfer(),))
    once = transition(a_delivery(State.STARTED), seen, NOW, POLICY)

    assert transition(once.delivery, seen, NOW, POLICY).events == ()


def test_a_final_transfer_is_told_once() -> None:
    done = StatusObserved(None, (a_jet_transfer(state="FAILED"),))
    once = transition(a_delivery(State.STARTED), done, NOW, POLICY)

    twice = transition(once.delivery, done, NOW, POLICY)

    assert [event.type for event in once.events] == [EventType.TRANSFER_FAILED]
    assert twice.events == ()


def a_ghost(attempt: int = 1) -> Ghost:
    """Return what a command of the builder's kind leaves behind."""
    contents = contents_of(a_delivery().objects)
    return Ghost(attempt, Intent(JOB, NOW, NOW).window, contents)


@pytest.mark.parametrize("order", [ResendOrdered(), AbandonOrdered()])
def test_an_order_ends_the_doubt_about_a_command_and_not_about_its_post(
    order: Trigger,
) -> None:
    step = transition(a_delivery(State.HELD), order, NOW, POLICY)

    assert step.delivery.posts == (a_ghost(),)
    assert step.delivery.intent is None


def test_a_start_that_goes_again_at_once_leaves_its_post_behind() -> None:
    starting = a_delivery(State.STARTING, terms=Terms(OnUncertain.RESEND))

    again = transition(starting, Lost("reset"), NOW, POLICY)
    used_up = transition(replace(starting, attempt=3), Lost("reset"), NOW, POLICY)

    assert again.delivery.posts == (a_ghost(),)
    assert (used_up.delivery.state, used_up.delivery.posts) == (State.HELD, ())


def test_a_post_that_is_proven_absent_leaves_nothing_behind() -> None:
    step = transition(a_delivery(State.UNCERTAIN), Absent(), NOW, POLICY)

    assert (step.delivery.state, step.delivery.posts) == (State.CLEARED, ())


@pytest.mark.parametrize(
    ("created_on", "left"),
    [
        (NOW, ()),
        (NOW - 4 * SECOND, (a_ghost(),)),
        (NOW + 3600 * SECOND, (a_ghost(),)),
        (None, (a_ghost(),)),
    ],
)
def test_an_operator_s_adopt_settles_the_post_only_if_it_can_have_made_it(
    created_on: datetime | None, left: tuple[Ghost, ...]
) -> None:
    found = Found(OTHER, created_on)

    step = transition(a_delivery(State.HELD), found, NOW, POLICY)

    assert step.delivery.delivery_id == OTHER
    assert step.delivery.posts == left


def test_what_two_attempts_can_have_made_settles_neither_of_their_posts() -> None:
    """The other one's may exist as well, in the window of either."""
    later = a_delivery(State.UNCERTAIN, attempt=2, posts=(a_ghost(1),))
    before = replace(a_ghost(1), window=Window(NOW - 9 * SECOND, NOW - 8 * SECOND))
    apart = replace(later, posts=(before,))

    either = transition(later, Found(OTHER, NOW), NOW, POLICY).delivery
    latest = transition(apart, Found(OTHER, NOW), NOW, POLICY).delivery

    assert either.posts == (a_ghost(1), a_ghost(2))
    assert latest.posts == (before,)


def test_who_has_lost_a_start_knows_until_when_it_can_be_applied() -> None:
    intent = Intent(JOB, NOW, NOW, hi=NOW + 37 * SECOND)
    starting = a_delivery(State.STARTING, intent=intent)

    soon = transition(starting, Lost("", NOW + 24 * SECOND), NOW, POLICY).delivery
    late = transition(starting, Lost("", NOW + 640 * SECOND), NOW, POLICY).delivery
    unknown = transition(starting, Lost(""), NOW, POLICY).delivery

    assert soon.intent == replace(intent, hi=NOW + 24 * SECOND)
    assert late.intent == replace(intent, hi=NOW + 640 * SECOND)
    assert unknown.intent == intent


def test_what_a_frozen_process_sent_late_is_not_taken_for_absent() -> None:
    """Ten minutes lay between the last check of the lease and the first byte."""
    intent = Intent(JOB, NOW, NOW, hi=NOW + 37 * SECOND)
    starting = a_delivery(State.STARTING, intent=intent)
    made_at = NOW + 600 * SECOND
    lost = Lost("no answer in time", made_at + 23 * SECOND)

    doubted = transition(starting, lost, NOW, POLICY).delivery
    (ours,) = posts_of(doubted)
    shown = Candidate(DELIVERY, Shown(DELIVERY, "IN_PROGRESS", made_at), made_at)
    complete = JobFacts(is_complete=True)
    decision = decide(ours, Row(stated=3), scene([ours], [shown], complete))

    assert isinstance(decision, LookAgain)


@pytest.mark.parametrize(
    "trigger",
    [
        Claimed(None),
        Found(OTHER, NOW),
        AdoptOrdered(PendingAdopt(DELIVERY, an_origin())),
        ResendOrdered(),
        AbandonOrdered(),
    ],
)
def test_a_claim_is_kept_until_it_is_given_up_or_something_else_comes_of_it(
    trigger: Trigger,
) -> None:
    claimed = transition(a_delivery(State.HELD), Claimed(OTHER), NOW, POLICY)

    later = transition(claimed.delivery, trigger, NOW, POLICY).delivery
    aside = set_aside(claimed.delivery, NOW).delivery

    assert (claimed.delivery.claimed, claimed.events) == (OTHER, ())
    assert (later.claimed, aside.claimed) == (None, None)


def test_a_start_that_jet_answered_was_made_by_then() -> None:
    starting = a_delivery(State.STARTING)

    told = transition(
        starting, StartConfirmed(DELIVERY, NOW + SECOND), NOW, POLICY
    ).delivery
    silent = transition(starting, StartConfirmed(DELIVERY), NOW, POLICY).delivery

    assert told.made_in == Window(NOW - 3 * SECOND, NOW + 4 * SECOND)
    assert silent.made_in == Intent(JOB, NOW, NOW).window


def test_what_testifies_for_others_is_read_from_jet_and_kept() -> None:
    started = a_delivery(State.STARTED, sample=b"12345678")
    seen = a_jet_delivery("COMPLETED", modified_on=NOW + SECOND)

    ended = transition(started, StatusObserved(seen), NOW, POLICY).delivery
    kept = finish(ended)

    assert (ended.created_on, ended.ended_on) == (NOW, NOW + SECOND)
    assert (kept.made_in, kept.ended_on) == (Window(NOW, NOW), NOW + SECOND)
    assert kept.sample == b"12345678"


def test_what_a_held_one_lacks_is_kept_up_to_date_and_told_once() -> None:
    held = a_delivery(State.HELD)

    step = transition(held, Undecided("something else now"), NOW, POLICY)

    assert step.events == ()
    assert step.delivery.reason == Reason(ReasonCode.HELD, "something else now")


def test_a_claim_is_given_up_by_one_that_our_code_failed_on_before() -> None:
    """Nobody looks it up any more, and others wait for what is claimed."""
    held = set_aside(a_delivery(State.UNCERTAIN), NOW)
    claimed = transition(held.delivery, Claimed(OTHER), NOW, POLICY)

    again = set_aside(claimed.delivery, NOW)

    assert (again.delivery.claimed, again.events) == (None, ())
