"""Where a partition's records arrive: read, admitted or rejected, answered, in order."""

import asyncio
from typing import Any, assert_never

import structlog

from jetworker.core.admission import Accept, Apply, Duplicate, admit
from jetworker.core.command import (
    Cancel,
    Origin,
    Reject,
    Resolution,
    Resolve,
    Send,
)
from jetworker.core.delivery import PendingAdopt
from jetworker.core.errors import InvalidRecord
from jetworker.core.lifecycle import accept
from jetworker.core.trigger import (
    AbandonOrdered,
    AdoptOrdered,
    CancelOrdered,
    ResendOrdered,
    Trigger,
)
from jetworker.runtime.crash_points import Point, reach
from jetworker.wire import commands, times
from jetworker.wire.record import Record, traceparent
from jetworker.worker.deliveries import Deliveries

log = structlog.get_logger()


def receive(deliveries: Deliveries, message: Any) -> "asyncio.Future[None]":
    """
    Answer one record (aiokafka's ConsumerRecord); raises nothing for its content.

    The future is done when the answer, the state and the input offset are durable.
    """
    origin = _origin(message)
    reach(Point.READ)
    try:
        command = commands.decode(
            message.value,
            message.headers,
            max_objects=deliveries.terms.max_objects,
        )
    except InvalidRecord as exc:
        return _reject(deliveries, message, origin, exc.reject)
    return _carry_out(deliveries, message, origin, command)


def _carry_out(
    deliveries: Deliveries,
    message: Any,
    origin: Origin,
    command: Send | Cancel | Resolve,
) -> "asyncio.Future[None]":
    now = deliveries.services.clock.now()
    route = None
    if isinstance(command, Send):
        route = deliveries.terms.routes().get(command.route)
    known = deliveries.known(command.command_id)
    match admit(command, known, route, now):
        case Accept(send):
            step = accept(send, origin, now, deliveries.told_on(send.command_id))
            durable = deliveries.take(None, step, offset=message.offset + 1)
            return deliveries.services.counted("accepted", durable)
        case Duplicate() as duplicate:
            answer = deliveries.terms.answers.duplicate(duplicate, origin, now)
            durable = deliveries.commit((answer,), message.offset + 1)
            return deliveries.services.counted("duplicate", durable)
        case Reject() as reject:
            return _reject(deliveries, message, origin, reject)
        case Apply(order):
            return _apply(deliveries, message, origin, order)
        case never:
            assert_never(never)


def _apply(
    deliveries: Deliveries, message: Any, origin: Origin, order: Cancel | Resolve
) -> "asyncio.Future[None]":
    """Carry an order out; an adopt is answered when Jet was asked."""
    trigger = _trigger(order, origin, message)
    if isinstance(trigger, AdoptOrdered):
        return deliveries.apply(order.command_id, trigger, (), message.offset + 1)
    now = deliveries.services.clock.now()
    answers = (deliveries.terms.answers.applied(order, origin, now),)
    durable = deliveries.apply(order.command_id, trigger, answers, message.offset + 1)
    return deliveries.services.counted("applied", durable)


def _reject(
    deliveries: Deliveries, message: Any, origin: Origin, reject: Reject
) -> "asyncio.Future[None]":
    known = {"command_id": reject.command_id, "traceparent": origin.traceparent}
    log.warning(
        "a record was rejected, it is parked on the dead-letter topic",
        **{name: value for name, value in known.items() if value is not None},
        reason=reject.reason.value,
        partition=origin.partition,
        offset=origin.offset,
    )
    record = Record(origin.topic, message.key, message.value, message.headers)
    answers = deliveries.terms.answers.rejected(
        reject, origin, record, deliveries.services.clock.now()
    )
    durable = deliveries.commit(answers, message.offset + 1)
    return deliveries.services.counted("rejected", durable, reject.reason.value)


def _trigger(order: Cancel | Resolve, origin: Origin, message: Any) -> Trigger:
    match order:
        case Cancel():
            return CancelOrdered()
        case Resolve(action=Resolution.RESEND):
            return ResendOrdered()
        case Resolve(action=Resolution.ABANDON):
            return AbandonOrdered()
        case Resolve(delivery_id=delivery_id):
            assert delivery_id is not None
            record = (message.key, message.value, tuple(message.headers))
            return AdoptOrdered(PendingAdopt(delivery_id, origin, *record))


def _origin(message: Any) -> Origin:
    return Origin(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        timestamp=times.of_record(message.timestamp),
        traceparent=traceparent(message.headers),
    )
