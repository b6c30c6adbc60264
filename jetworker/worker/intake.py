"""The desk where a partition's records arrive: read, judged and answered, in order."""

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


class Desk:
    """Turns the records of one partition into steps of its life."""

    def __init__(self, life: Deliveries) -> None:
        self.life = life

    def receive(self, message: Any) -> "asyncio.Future[None]":
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
                max_objects=self.life.terms.max_objects,
            )
        except InvalidRecord as exc:
            return self._reject(message, origin, exc.reject)
        return self._carry_out(message, origin, command)

    def _carry_out(
        self, message: Any, origin: Origin, command: Send | Cancel | Resolve
    ) -> "asyncio.Future[None]":
        life = self.life
        now = life.services.clock.now()
        route = None
        if isinstance(command, Send):
            route = life.terms.routes().get(command.route)
        known = life.known(command.command_id)
        match admit(command, known, route, now):
            case Accept(send):
                step = accept(send, origin, now)
                durable = life.take(None, step, offset=message.offset + 1)
                return life.services.counted("accepted", durable)
            case Duplicate() as duplicate:
                answer = life.terms.answers.duplicate(duplicate, origin, now)
                durable = life.commit((answer,), message.offset + 1)
                return life.services.counted("duplicate", durable)
            case Reject() as reject:
                return self._reject(message, origin, reject)
            case Apply(order):
                return self._apply(message, origin, order)
            case never:
                assert_never(never)

    def _apply(
        self, message: Any, origin: Origin, order: Cancel | Resolve
    ) -> "asyncio.Future[None]":
        """Carry an order out; an adopt is answered when Jet was asked."""
        trigger = _trigger(order, origin, message)
        if isinstance(trigger, AdoptOrdered):
            return self.life.apply(order.command_id, trigger, (), message.offset + 1)
        now = self.life.services.clock.now()
        answers = (self.life.terms.answers.applied(order, origin, now),)
        durable = self.life.apply(
            order.command_id, trigger, answers, message.offset + 1
        )
        return self.life.services.counted("applied", durable)

    def _reject(
        self, message: Any, origin: Origin, reject: Reject
    ) -> "asyncio.Future[None]":
        log.info(
            "a record was rejected, it is parked on the dead-letter topic",
            reason=reject.reason.value,
            partition=origin.partition,
            offset=origin.offset,
        )
        record = Record(origin.topic, message.key, message.value, message.headers)
        answers = self.life.terms.answers.rejected(
            reject, origin, record, self.life.services.clock.now()
        )
        durable = self.life.commit(answers, message.offset + 1)
        return self.life.services.counted("rejected", durable)


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
