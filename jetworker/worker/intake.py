"""Where a partition's records arrive: read, admitted or rejected, answered, in order."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, assert_never

import structlog

from jetworker.core.admission import Accept, Apply, Duplicate, Wait, admit
from jetworker.core.command import (
    Cancel,
    Command,
    CommandId,
    Origin,
    Reject,
    Rejection,
    Resolve,
    Send,
)
from jetworker.core.delivery import WaitingOrder
from jetworker.core.errors import InvalidRecord
from jetworker.core.lifecycle import accept
from jetworker.core.orders import ordered, refused_as_too_many, waiting_order
from jetworker.core.trigger import AdoptOrdered, Found, OrderQueued
from jetworker.runtime.crash_points import Point, reach
from jetworker.wire import commands, handing, times
from jetworker.wire.record import Record, traceparent
from jetworker.worker import defects
from jetworker.worker.deliveries import Deliveries, Moved

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Arrival:
    """A record that has come, and how the input moves when it is answered."""

    message: Any
    moved: Moved
    answers: Callable[[CommandId], int]


def receive(deliveries: Deliveries, message: Any) -> "asyncio.Future[None]":
    """
    Answer one record (aiokafka's ConsumerRecord); raises nothing for its content.

    The future is done when the answer, the state and the input offset are durable. A
    record on which our own code fails is parked like one that cannot be read.
    """
    arrival = Arrival(message, message.offset + 1, deliveries.answers_for)
    return _receive(deliveries, arrival)


def receive_handed(
    deliveries: Deliveries, key: bytes, value: bytes
) -> "asyncio.Future[None]":
    """Answer a record that was read on another partition; it is taken away with that."""
    message, gone = handing.decode(value), deliveries.answered(key)
    arrival = Arrival(message, gone, deliveries.answers_for_handed)
    return _receive(deliveries, arrival)


def _receive(deliveries: Deliveries, arrival: Arrival) -> "asyncio.Future[None]":
    command, message = None, arrival.message
    try:
        origin = _origin(message)
        reach(Point.READ)
        try:
            command = commands.decode(
                message.value,
                message.headers,
                max_objects=deliveries.terms.max_objects,
            )
        except InvalidRecord as exc:
            return _reject(deliveries, arrival, origin, exc.reject)
        where = arrival.answers(command.command_id)
        if where != deliveries.partition:
            return deliveries.hand_over(message, where, arrival.moved)
        return _carry_out(deliveries, arrival, origin, command)
    except Exception as exc:  # noqa: BLE001 -- whatever it was, it is of this record alone
        return _set_aside(deliveries, arrival, command, exc)


def _set_aside(
    deliveries: Deliveries, arrival: Arrival, command: Command | None, exc: Exception
) -> "asyncio.Future[None]":
    """Park a record on which our own code failed: nothing of it has been committed."""
    message = arrival.message
    command_id = command.command_id if command is not None else None
    defects.report(
        deliveries.services.metrics,
        "record",
        "a record is set aside: a defect of ours",
        exc,
        partition=message.partition,
        offset=message.offset,
        command_id=command_id,
    )
    now = deliveries.services.clock.now()
    origin = Origin(message.topic, message.partition, message.offset, now)
    reject = Reject(Rejection.INTERNAL_ERROR, defects.MESSAGE, command_id)
    with suppress(Exception):  # it may be what is carried unchanged
        carried = replace(origin, traceparent=traceparent(message.headers))
        return _reject(deliveries, arrival, carried, reject)
    return _reject(deliveries, arrival, origin, reject)


def _carry_out(
    deliveries: Deliveries,
    arrival: Arrival,
    origin: Origin,
    command: Send | Cancel | Resolve,
) -> "asyncio.Future[None]":
    now = deliveries.services.clock.now()
    route = None
    if isinstance(command, Send):
        route = deliveries.terms.routes().get(command.route)
    left = deliveries.rejected(command.command_id)
    if left is not None:
        return _reject(deliveries, arrival, origin, left)
    known = deliveries.known(command.command_id)
    match admit(command, known, route, now):
        case Accept(send):
            step = accept(send, origin, now, deliveries.told_on(send.command_id))
            durable = deliveries.commit_step(None, step, moved=arrival.moved)
            return deliveries.services.counted("accepted", durable)
        case Duplicate() as duplicate:
            answer = deliveries.terms.answers.duplicate(duplicate, origin, now)
            durable = deliveries.commit((answer,), arrival.moved)
            return deliveries.services.counted("duplicate", durable)
        case Reject() as reject:
            return _reject(deliveries, arrival, origin, reject)
        case Apply(order):
            return _apply(deliveries, arrival, origin, order)
        case Wait(order):
            return _queue(deliveries, arrival, origin, order)
        case never:
            assert_never(never)


def _apply(
    deliveries: Deliveries, arrival: Arrival, origin: Origin, order: Cancel | Resolve
) -> "asyncio.Future[None]":
    """Carry an order out; an adopt is answered when Jet was asked, of its own at once."""
    trigger = ordered(_order(arrival.message, origin, order))
    bound = deliveries.find(order.command_id)
    if isinstance(trigger, AdoptOrdered):
        wanted = trigger.pending.delivery_id
        if bound is None or bound.delivery_id != wanted:
            return deliveries.step(order.command_id, trigger, (), arrival.moved)
        trigger = Found(wanted, bound.created_on)
    now = deliveries.services.clock.now()
    answers = (deliveries.terms.answers.applied(order, origin, now),)
    durable = deliveries.step(order.command_id, trigger, answers, arrival.moved)
    return deliveries.services.counted("applied", durable)


def _queue(
    deliveries: Deliveries, arrival: Arrival, origin: Origin, command: Cancel | Resolve
) -> "asyncio.Future[None]":
    """Let an order wait behind an adopt, if there is room."""
    order = _order(arrival.message, origin, command)
    delivery = deliveries.find(command.command_id)
    assert delivery is not None
    refused = refused_as_too_many(delivery, order)
    if refused is not None:
        return _reject(deliveries, arrival, origin, refused)
    return deliveries.step(command.command_id, OrderQueued(order), (), arrival.moved)


def _reject(
    deliveries: Deliveries, arrival: Arrival, origin: Origin, reject: Reject
) -> "asyncio.Future[None]":
    message = arrival.message
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
    durable = deliveries.commit(answers, arrival.moved)
    return deliveries.services.counted("rejected", durable, reject.reason.value)


def _order(message: Any, origin: Origin, command: Cancel | Resolve) -> WaitingOrder:
    headers = tuple(message.headers)
    return waiting_order(command, origin, message.key, message.value, headers)


def _origin(message: Any) -> Origin:
    return Origin(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        timestamp=times.of_record(message.timestamp),
        traceparent=traceparent(message.headers),
    )
