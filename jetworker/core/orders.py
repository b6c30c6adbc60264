"""
Orders that wait behind an adopt, until Jet's word on that is there (evidence: R9).

They are taken in the order of their records, each judged when its turn comes, on what
the ones before it left: after an adopt that was applied nothing is held any more, after
one that was refused the next is carried out. Another adopt among them is asked about in
its turn, and the rest go on waiting.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from jetworker.core.admission import Apply, Wait, judge_order
from jetworker.core.command import (
    Cancel,
    CommandId,
    Origin,
    Reject,
    Rejection,
    Resolution,
    Resolve,
)
from jetworker.core.delivery import Delivery, OrderKind, PendingAdopt, WaitingOrder
from jetworker.core.lifecycle import transition
from jetworker.core.transitions import Policy, Transition
from jetworker.core.trigger import (
    AbandonOrdered,
    AdoptOrdered,
    AdoptRefused,
    CancelOrdered,
    Found,
    ResendOrdered,
    Trigger,
)

MOST = 8  # behind the one that Jet is being asked about
MOST_BYTES = 64 * 1024  # of their records: they are part of the snapshot


@dataclass(frozen=True, slots=True)
class Answered:
    """A record that waited for Jet, and what it is answered with."""

    record: PendingAdopt | WaitingOrder
    answer: Apply | Reject


def waiting_order(
    command: Cancel | Resolve,
    origin: Origin,
    key: bytes | None = None,
    value: bytes | None = None,
    headers: tuple[tuple[str, bytes | None], ...] = (),
) -> WaitingOrder:
    """Return an order with the record that it was."""
    if isinstance(command, Cancel):
        return WaitingOrder(OrderKind.CANCEL, origin, None, key, value, headers)
    kind, wanted = OrderKind(command.action.value), command.delivery_id
    return WaitingOrder(kind, origin, wanted, key, value, headers)


def ordered(order: WaitingOrder) -> Trigger:
    """Return what an order does to a delivery when its turn has come."""
    match order.kind:
        case OrderKind.CANCEL:
            return CancelOrdered()
        case OrderKind.RESEND:
            return ResendOrdered()
        case OrderKind.ABANDON:
            return AbandonOrdered()
        case OrderKind.ADOPT:
            assert order.delivery_id is not None
            record = (order.key, order.value, order.headers)
            return AdoptOrdered(PendingAdopt(order.delivery_id, order.origin, *record))
        case _:
            assert_never(order.kind)


def refused_as_too_many(delivery: Delivery, order: WaitingOrder) -> Reject | None:
    """Refuse an order for which there is no room behind an adopt, None if there is."""
    waiting = (*delivery.orders, order)
    if len(waiting) <= MOST and sum(map(_size, waiting)) <= MOST_BYTES:
        return None
    message = (
        f"{len(delivery.orders)} orders wait behind an adopt that is being checked with"
        f" Jet: at most {MOST} do, of {MOST_BYTES} bytes; wait for their answers"
    )
    return Reject(Rejection.NOT_HELD, message, delivery.command_id)


def _size(order: WaitingOrder) -> int:
    headers = sum(len(name) + len(value or b"") for name, value in order.headers)
    return len(order.key or b"") + len(order.value or b"") + headers


def answered(
    before: Delivery, trigger: Trigger, step: Transition, now: datetime, policy: Policy
) -> tuple[Transition, tuple[Answered, ...]]:
    """
    Return *step* with the turns that it brings, and the orders that are answered by it.

    It brings none unless an adopt is pending and *trigger* decides that.
    """
    if before.pending is None or not isinstance(trigger, Found | AdoptRefused):
        return step, ()
    told = [_answer_adopt(before, before.pending, trigger)]
    waiting = step.delivery.orders
    step = replace(step, delivery=replace(step.delivery, orders=()))
    while waiting and step.delivery.pending is None:
        order, *rest = waiting
        waiting = tuple(rest)
        judged = judge_order(_command(before.command_id, order), step.delivery)
        assert not isinstance(judged, Wait)
        if isinstance(judged, Apply):
            after = transition(step.delivery, ordered(order), now, policy)
            step = _then(step, after)
        if step.delivery.pending is None:
            told.append(Answered(order, judged))
    return replace(step, delivery=replace(step.delivery, orders=waiting)), tuple(told)


def answered_as_defect(delivery: Delivery, message: str) -> tuple[Answered, ...]:
    """Refuse all that waits on a delivery which is set aside for a defect of ours."""
    if delivery.pending is None:
        return ()
    reject = Reject(Rejection.INTERNAL_ERROR, message, delivery.command_id)
    behind = (Answered(order, reject) for order in delivery.orders)
    return (Answered(delivery.pending, reject), *behind)


def _answer_adopt(
    delivery: Delivery, pending: PendingAdopt, trigger: Found | AdoptRefused
) -> Answered:
    if isinstance(trigger, Found) and trigger.delivery_id == pending.delivery_id:
        order = Resolve(delivery.command_id, Resolution.ADOPT, pending.delivery_id)
        return Answered(pending, Apply(order))
    message = "Jet does not know deliveryId on that job, or it is bound already"
    problems = (("/deliveryId", message),)
    reject = Reject(
        Rejection.NOT_ADOPTABLE, message, delivery.command_id, problems=problems
    )
    return Answered(pending, reject)


def _command(command_id: CommandId, order: WaitingOrder) -> Cancel | Resolve:
    if order.kind is OrderKind.CANCEL:
        return Cancel(command_id)
    return Resolve(command_id, Resolution(order.kind.value), order.delivery_id)


def _then(step: Transition, after: Transition) -> Transition:
    """Return two steps as one: what the second wants is done."""
    events, effect = step.events + after.events, after.effect or step.effect
    return Transition(after.delivery, events, effect)
