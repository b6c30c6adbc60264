"""
The steps of a delivery: what each edge of the lifecycle makes of it.

Which step is taken when is said by `lifecycle` alone.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_never

from jetworker.core import progress
from jetworker.core.command import DeliveryId
from jetworker.core.delivery import (
    Delivery,
    Event,
    EventType,
    FailedObjects,
    PendingAdopt,
    Reason,
    ReasonCode,
    State,
    WaitingOrder,
)
from jetworker.core.frozen import replace
from jetworker.core.jet_clock import answered
from jetworker.core.post import Ghost, contents_of, sample_of
from jetworker.core.route import OnUncertain
from jetworker.core.trigger import (
    Begun,
    Blocked,
    Found,
    Lost,
    StartConfirmed,
    StatusObserved,
)


class Effect(StrEnum):
    """What a delivery wants done next."""

    QUEUE_START = "queue_start"
    SEND_START = "send_start"
    LOOK_UP = "look_up"
    TAKE_CLAIMED = "take_claimed"
    FOLLOW = "follow"
    RETIRE = "retire"
    REST = "rest"


def effect_of(delivery: Delivery) -> Effect:
    """Return what a delivery in this state wants, whoever brought it there."""
    match delivery.state:
        case State.ACCEPTED | State.WAITING | State.CLEARED:
            return Effect.QUEUE_START
        case State.STARTING:
            return Effect.SEND_START
        case State.HELD if delivery.intent is None:
            return Effect.REST  # held for a defect of ours: there is nothing to look up
        case State.UNCERTAIN | State.HELD:
            return Effect.LOOK_UP
        case State.STARTED | State.IN_PROGRESS:
            return Effect.FOLLOW
        case State.COMPLETED | State.FAILED | State.CANCELLED:
            return Effect.RETIRE
        case _:
            assert_never(delivery.state)


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings that decide: `starts.max_attempts`, `events.progress_interval`."""

    max_attempts: int = 3
    progress_interval: timedelta = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Transition:
    """
    What a trigger makes of a delivery.

    *effect* is None where the delivery goes on with what it was doing.
    """

    delivery: Delivery
    events: tuple[Event, ...] = ()
    effect: Effect | None = None


def wait(delivery: Delivery, obstacle: Blocked) -> Transition:
    """Wait, or go back to waiting; the same reason in a row is told once."""
    reason = Reason(obstacle.code, obstacle.message)
    same = delivery.reason is not None and delivery.reason.code is reason.code
    told = delivery.published is State.WAITING and same
    if told and delivery.state is State.WAITING:
        return Transition(delivery)
    waiting = replace(
        delivery,
        state=State.WAITING,
        attempt=_without_refused(delivery),
        intent=None,
        reason=reason,
    )
    if told:
        return Transition(waiting, effect=Effect.QUEUE_START)
    return tell(waiting, EventType.WAITING)


def begin(delivery: Delivery, trigger: Begun) -> Transition:
    """Write an intent down: a start is sent only after it is durable."""
    begun = replace(
        delivery,
        state=State.STARTING,
        attempt=delivery.attempt + 1,
        intent=trigger.intent,
        terms=trigger.terms,
        job_id=trigger.intent.job_id,
    )
    return Transition(begun, effect=effect_of(begun))


def start(delivery: Delivery, answer: StartConfirmed, now: datetime) -> Transition:
    """Bind the delivery that Jet answered our start with."""
    intent = delivery.intent
    assert intent is not None
    window = answered(intent.window.lo, answer.jet_time) or intent.window
    bound = replace(delivery, delivery_id=answer.delivery_id, made_in=window)
    return _bind(bound, now)


def adopt(delivery: Delivery, found: Found, now: datetime) -> Transition:
    """
    Bind a delivery that was found; it started when Jet made it.

    The posts of the command that cannot have made it, or may have made another, stay
    behind as ghosts.
    """
    if delivery.delivery_id == found.delivery_id:  # held for a defect since
        return resume(delivery)
    left = leave_ghost(delivery)
    bound = _attempt_at(left.posts, found.created_on)
    adopted = replace(
        left,
        delivery_id=found.delivery_id,
        adopted=True,
        created_on=found.created_on,
        posts=tuple(each for each in left.posts if each.attempt != bound),
    )
    return _bind(adopted, found.created_on or now)


def resume(delivery: Delivery) -> Transition:
    """Follow on what was held for a defect of ours, by its own delivery."""
    resumed = replace(
        delivery, state=State.STARTED, reason=None, pending=None, claimed=None
    )
    return tell(resumed, EventType.STARTED)


def _attempt_at(posts: tuple[Ghost, ...], created_on: datetime | None) -> int:
    """Return the only attempt that can have made a delivery then, 0 if there is none."""
    if created_on is None:
        return 0
    can = [each.attempt for each in posts if each.window.contains(created_on)]
    return can[0] if len(can) == 1 else 0


def leave_ghost(delivery: Delivery) -> Delivery:
    """Let the unknown post stay a rival, whatever becomes of its command (R1)."""
    intent = delivery.intent
    if intent is None:  # held for a defect of ours: no post of it is unknown
        return delivery
    ghost = Ghost(delivery.attempt, intent.window, contents_of(delivery.objects))
    return replace(delivery, posts=(*delivery.posts, ghost))


def _bind(delivery: Delivery, started_at: datetime) -> Transition:
    """Follow it from now on; what was asked for is no longer needed in memory."""
    started = replace(
        delivery,
        state=State.STARTED,
        sample=sample_of(delivery.objects),
        folders=any(spec.is_directory for spec in delivery.objects),
        objects=(),
        intent=None,
        reason=None,
        pending=None,
        claimed=None,
        started_at=started_at,
    )
    return tell(started, EventType.STARTED)


def doubt(delivery: Delivery, lost: Lost, now: datetime, policy: Policy) -> Transition:
    """Say that the outcome is unknown; a route that says resend goes on at once."""
    resend = delivery.terms.on_uncertain is OnUncertain.RESEND
    message = lost.message
    if resend:
        message = f"{message}; the route says resend: a second delivery is possible"
    intent = delivery.intent
    assert intent is not None
    doubted = replace(
        delivery,
        state=State.UNCERTAIN,
        # Who has sent it knows until when it can be applied, better than any plan: frozen
        # after the last check it was sent later than the intent allowed for.
        intent=replace(intent, hi=lost.hi or intent.hi),
        reason=Reason(ReasonCode.START_UNKNOWN, message),
        doubted_at=now,
    )
    told = tell(doubted, EventType.UNCERTAIN)
    if not resend:
        return told
    if _is_used_up(delivery, policy):
        again = _hold_used_up(told.delivery, policy)
    else:
        again = clear(leave_ghost(told.delivery))
    return replace(again, events=told.events + again.events)


def start_again(delivery: Delivery, policy: Policy) -> Transition:
    """Let it be started again, unless its attempts are used up."""
    if _is_used_up(delivery, policy):
        return _hold_used_up(delivery, policy)
    return clear(delivery)


def _is_used_up(delivery: Delivery, policy: Policy) -> bool:
    return delivery.attempt >= policy.max_attempts


def _hold_used_up(delivery: Delivery, policy: Policy) -> Transition:
    return hold(delivery, f"all {policy.max_attempts} attempts are used up")


def claim(delivery: Delivery, delivery_id: DeliveryId | None) -> Transition:
    """Let others see what it is about to take, or that it is not any more."""
    effect = None if delivery_id is None else Effect.TAKE_CLAIMED
    return Transition(replace(delivery, claimed=delivery_id), effect=effect)


def ask(delivery: Delivery, pending: PendingAdopt) -> Transition:
    """Remember an operator's adopt until Jet was asked."""
    asked = replace(delivery, pending=pending, claimed=None)
    return Transition(asked, effect=effect_of(asked))


def queue(delivery: Delivery, order: WaitingOrder) -> Transition:
    """Let an order wait behind the adopt that Jet is being asked about."""
    return Transition(replace(delivery, orders=(*delivery.orders, order)))


def refuse_adopt(delivery: Delivery) -> Transition:
    """Forget an operator's adopt that Jet does not bear out."""
    return Transition(replace(delivery, pending=None))


def clear(delivery: Delivery) -> Transition:
    """Let it be started again."""
    cleared = replace(
        delivery, state=State.CLEARED, intent=None, pending=None, claimed=None
    )
    return Transition(cleared, effect=effect_of(cleared))


def hold(delivery: Delivery, message: str) -> Transition:
    """Leave it to an operator; it may still be adopted by itself."""
    reason = Reason(ReasonCode.HELD, message)
    return tell(replace(delivery, state=State.HELD, reason=reason), EventType.UNCERTAIN)


def lack(delivery: Delivery, message: str) -> Transition:
    """Keep up to date what is missing to settle a held one; it is told once."""
    return Transition(replace(delivery, reason=Reason(ReasonCode.HELD, message)))


def hold_defect(delivery: Delivery, now: datetime) -> Transition:
    """Leave what our own code failed on to an operator, and say so once a doubt."""
    started = delivery.delivery_id is not None
    done = "it was started" if started else "a start may have been sent"
    message = f"the worker failed on it, which is a defect to be reported; {done}"
    reason = Reason(ReasonCode.HELD, message)
    is_told = delivery.state is State.HELD and delivery.reason == reason
    if is_told and delivery.pending is None and delivery.claimed is None:
        return Transition(delivery)
    is_lost = delivery.state is State.STARTING
    held = replace(
        delivery,
        state=State.HELD,
        reason=reason,
        pending=None,
        claimed=None,
        orders=(),
        doubted_at=now if is_lost else delivery.doubted_at,
    )
    if delivery.state is State.HELD and delivery.published is State.UNCERTAIN:
        return Transition(held)
    return tell(held, EventType.UNCERTAIN)


def observe(
    delivery: Delivery, seen: StatusObserved, now: datetime, policy: Policy
) -> Transition:
    """Tell what changed at Jet, and the end if it came."""
    observed = progress.observe(delivery, seen, now, policy.progress_interval)
    if observed.ending is None:
        return Transition(observed.delivery, observed.events)
    state, kind, reason = observed.ending
    ended = _finish(observed.delivery, state, kind, reason, now)
    return replace(ended, events=observed.events + ended.events)


def fail(
    delivery: Delivery, code: ReasonCode, message: str, now: datetime
) -> Transition:
    """End it without success."""
    reason = Reason(code, message)
    return _finish(delivery, State.FAILED, EventType.FAILED, reason, now)


def cancel(delivery: Delivery, now: datetime) -> Transition:
    """End it before anything was sent."""
    return _finish(delivery, State.CANCELLED, EventType.CANCELLED, None, now)


def _finish(
    delivery: Delivery,
    state: State,
    kind: EventType,
    reason: Reason | None,
    now: datetime,
) -> Transition:
    failed = delivery.failed_objects
    if failed is None and delivery.failed:
        failed = FailedObjects(delivery.failed)
    finished = replace(
        delivery,
        state=state,
        failed_objects=failed,
        attempt=_without_refused(delivery),
        reason=reason,
        finished_at=now,
        objects=(),
        intent=None,
        pending=None,
        claimed=None,
    )
    return tell(finished, kind)


def _without_refused(delivery: Delivery) -> int:
    """Return the attempts that may have started something: a refused one did not."""
    is_refused = delivery.state is State.STARTING
    return delivery.attempt - 1 if is_refused else delivery.attempt


def tell(delivery: Delivery, kind: EventType) -> Transition:
    """Tell of the delivery itself, under the next number."""
    state = State.UNCERTAIN if delivery.state is State.HELD else delivery.state
    told = replace(delivery, sequence=delivery.sequence + 1, published=state)
    return Transition(told, (Event(kind, told),), effect_of(told))
