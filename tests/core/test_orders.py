"""Orders behind an adopt: taken in turn, each judged on what the ones before it left."""

from dataclasses import replace

import pytest

from jetworker.core.admission import Apply, Wait, admit
from jetworker.core.command import (
    Cancel,
    DeliveryId,
    Reject,
    Rejection,
    Resolution,
    Resolve,
)
from jetworker.core.delivery import (
    Delivery,
    EventType,
    OrderKind,
    PendingAdopt,
    State,
    WaitingOrder,
)
from jetworker.core.lifecycle import set_aside, transition
from jetworker.core.orders import (
    MOST,
    MOST_BYTES,
    answered,
    answered_as_defect,
    ordered,
    refused_as_too_many,
    waiting_order,
)
from jetworker.core.transitions import Effect, Policy
from jetworker.core.trigger import (
    Absent,
    AdoptOrdered,
    AdoptRefused,
    CancelOrdered,
    Found,
    OrderQueued,
    Trigger,
    Undecided,
)
from tests.support.builders import DELIVERY, NOW, a_delivery, an_origin

POLICY = Policy()
ID = a_delivery().command_id
OTHER = DeliveryId("other")
ADOPT = Resolve(ID, Resolution.ADOPT, OTHER)
RESEND, ABANDON = Resolve(ID, Resolution.RESEND), Resolve(ID, Resolution.ABANDON)
CANCEL = Cancel(ID)


def behind(*commands: Cancel | Resolve) -> Delivery:
    """Return a held one whose adopt Jet is asked about, with orders behind it."""
    pending = PendingAdopt(DELIVERY, an_origin(offset=10), b"k", b"v")
    orders = tuple(
        waiting_order(each, an_origin(offset=offset))
        for offset, each in enumerate(commands, 11)
    )
    return a_delivery(State.HELD, pending=pending, orders=orders)


def after(held: Delivery, trigger: Trigger) -> tuple[Delivery, list[tuple[int, str]]]:
    """Return what comes of Jet's word, and how each record is answered."""
    step = transition(held, trigger, NOW, POLICY)
    step, told = answered(held, trigger, step, NOW, POLICY)
    return step.delivery, [
        (
            each.record.origin.offset,
            each.answer.reason if isinstance(each.answer, Reject) else "applied",
        )
        for each in told
    ]


@pytest.mark.parametrize("command", [ADOPT, RESEND, ABANDON, CANCEL])
def test_an_order_waits_behind_an_adopt_that_jet_is_asked_about(
    command: Cancel | Resolve,
) -> None:
    assert admit(command, behind(), None, NOW) == Wait(command)


@pytest.mark.parametrize("command", [ADOPT, RESEND, ABANDON, CANCEL])
def test_after_an_applied_adopt_what_waits_finds_nothing_held(
    command: Cancel | Resolve,
) -> None:
    found, told = after(behind(command), Found(DELIVERY, NOW))

    no = "not_cancellable" if command is CANCEL else "not_held"
    assert told == [(10, "applied"), (11, no)]
    assert (found.state, found.pending, found.orders) == (State.STARTED, None, ())


@pytest.mark.parametrize(
    ("commands", "state", "answers"),
    [
        ((), State.HELD, []),
        ((RESEND,), State.CLEARED, [(11, "applied")]),
        ((ABANDON,), State.FAILED, [(11, "applied")]),
        ((CANCEL,), State.HELD, [(11, "not_cancellable")]),
        (
            (CANCEL, RESEND, ABANDON, ADOPT),
            State.CLEARED,
            [
                (11, "not_cancellable"),
                (12, "applied"),
                (13, "not_held"),
                (14, "not_held"),
            ],
        ),
        ((ABANDON, RESEND), State.FAILED, [(11, "applied"), (12, "not_held")]),
    ],
)
def test_after_a_refused_adopt_what_waits_is_carried_out_in_turn(
    commands: tuple[Cancel | Resolve, ...],
    state: State,
    answers: list[tuple[int, str]],
) -> None:
    found, told = after(behind(*commands), AdoptRefused())

    assert told == [(10, "not_adoptable"), *answers]
    assert (found.state, found.pending, found.orders) == (state, None, ())


def test_another_adopt_is_asked_about_in_its_turn_and_the_rest_wait_on() -> None:
    held = behind(CANCEL, ADOPT, RESEND, ABANDON)

    found, told = after(held, AdoptRefused())

    assert told == [(10, "not_adoptable"), (11, "not_cancellable")]
    assert found.pending == PendingAdopt(OTHER, an_origin(offset=12))
    assert found.orders == held.orders[2:]
    assert after(found, AdoptRefused())[1] == [
        (12, "not_adoptable"),
        (13, "applied"),
        (14, "not_held"),
    ]


def test_the_steps_are_one_with_all_that_they_tell_and_the_last_that_they_want() -> (
    None
):
    refused = AdoptRefused()
    held = behind(ABANDON)
    step = transition(held, refused, NOW, POLICY)

    step, _ = answered(held, refused, step, NOW, POLICY)

    assert [event.type for event in step.events] == [EventType.FAILED]
    assert step.effect is Effect.RETIRE
    assert step.delivery.sequence == held.sequence + 1


@pytest.mark.parametrize(
    "trigger", [Undecided("?"), OrderQueued(behind(CANCEL).orders[0])]
)
def test_until_jet_has_answered_nobody_is(trigger: Trigger) -> None:
    held = behind(RESEND)
    step = transition(held, trigger, NOW, POLICY)

    assert answered(held, trigger, step, NOW, POLICY) == (step, ())


def test_where_no_adopt_waits_no_order_is_answered() -> None:
    doubted = a_delivery(State.UNCERTAIN)
    step = transition(doubted, Absent(), NOW, POLICY)

    assert answered(doubted, Absent(), step, NOW, POLICY) == (step, ())


def test_another_delivery_that_was_found_meanwhile_refuses_the_adopt() -> None:
    found, told = after(behind(RESEND), Found(OTHER, NOW))

    assert told == [(10, "not_adoptable"), (11, "not_held")]
    assert found.delivery_id == OTHER


def test_an_order_is_kept_with_its_record_and_queued_at_the_end() -> None:
    record = (b"k", b"v", (("h", None),))
    order = waiting_order(ADOPT, an_origin(), *record)

    assert order == WaitingOrder(OrderKind.ADOPT, an_origin(), OTHER, *record)
    assert ordered(order) == AdoptOrdered(PendingAdopt(OTHER, an_origin(), *record))
    assert ordered(waiting_order(CANCEL, an_origin())) == CancelOrdered()
    held = behind(RESEND)
    queued = transition(held, OrderQueued(order), NOW, POLICY)
    assert queued.delivery == replace(held, orders=(*held.orders, order))
    assert queued.events == ()


def test_so_many_wait_behind_an_adopt_and_the_next_is_refused() -> None:
    order = waiting_order(RESEND, an_origin())

    assert refused_as_too_many(behind(*[RESEND] * (MOST - 1)), order) is None
    refused = refused_as_too_many(behind(*[RESEND] * MOST), order)
    assert refused is not None
    assert (refused.reason, refused.command_id) == (Rejection.NOT_HELD, ID)
    assert f"{MOST} orders wait" in refused.message


def test_what_waits_is_part_of_the_snapshot_and_so_is_not_large() -> None:
    headers = (("h", b"x" * (MOST_BYTES - 3)), ("n", None))

    fits = waiting_order(RESEND, an_origin(), None, b"v", headers)
    one_too_many = waiting_order(RESEND, an_origin(), b"k", b"v", headers)

    assert refused_as_too_many(behind(), fits) is None
    assert refused_as_too_many(behind(), one_too_many) is not None


def test_what_waits_on_a_delivery_that_is_set_aside_is_refused_for_good() -> None:
    told = answered_as_defect(held := behind(RESEND), "a defect")

    after_it = set_aside(held, NOW).delivery
    again = set_aside(replace(after_it, pending=held.pending), NOW).delivery
    refused = Reject(Rejection.INTERNAL_ERROR, "a defect", ID)
    assert [(each.record.origin.offset, each.answer) for each in told] == [
        (10, refused),
        (11, refused),
    ]
    assert (after_it.pending, after_it.orders) == (None, ())
    assert again == after_it
    assert answered_as_defect(after_it, "a defect") == ()


def test_what_is_applied_names_the_order() -> None:
    held = behind(RESEND)
    step = transition(held, AdoptRefused(), NOW, POLICY)

    _, told = answered(held, AdoptRefused(), step, NOW, POLICY)

    assert told[1].answer == Apply(RESEND)
