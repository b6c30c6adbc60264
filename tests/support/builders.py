"""Values for tests: ordinary ones, of which a test changes what it is about."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from jetworker.core.command import (
    CommandId,
    DeliveryId,
    JobId,
    ObjectSpec,
    Origin,
    RouteName,
    Send,
    TransferId,
)
from jetworker.core.delivery import Delivery, Intent, State
from jetworker.core.lifecycle import accept
from jetworker.core.observation import JetDelivery, JetTransfer, Progress, Tally

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
JOB = JobId("6fd0a3b2-0000-4000-8000-000000000001")
DELIVERY = DeliveryId("b0dea3b2-0000-4000-8000-000000000002")


def a_send(command_id: str = "c-1", **changes: Any) -> Send:
    """Return a command to send one file."""
    send = Send(
        command_id=CommandId(command_id),
        route=RouteName("archive"),
        objects=(ObjectSpec("/a.mov", 100),),
        fingerprint=b"0123456789abcdef",
        metadata=b'{"ticket":"OPS-12"}',
    )
    return replace(send, **changes)


def an_origin(**changes: Any) -> Origin:
    """Return where a command was read."""
    return replace(Origin("jet.commands", 0, 7, NOW, "00-trace-01"), **changes)


def a_delivery(state: State = State.ACCEPTED, **changes: Any) -> Delivery:
    """Return a delivery in *state*, with what it must have there."""
    delivery = accept(a_send(), an_origin(), NOW).delivery
    delivery = replace(delivery, state=state)
    if state in {State.STARTING, State.UNCERTAIN, State.HELD}:
        intent = Intent(JOB, NOW, NOW)
        delivery = replace(delivery, intent=intent, job_id=JOB, attempt=1)
    if state.is_followed or state.is_final:
        delivery = replace(
            delivery,
            job_id=JOB,
            delivery_id=DELIVERY,
            attempt=1,
            started_at=NOW,
            objects=(),
        )
    if state.is_final:
        delivery = replace(delivery, finished_at=NOW)
    return replace(delivery, **changes)


def a_progress(count: int = 1, size: int = 100, failed: int = 0) -> Progress:
    """Return counts of *count* objects moved."""
    return Progress(Tally(count, size), Tally(), Tally(failed, 0))


def a_jet_delivery(state: str = "IN_PROGRESS", **changes: Any) -> JetDelivery:
    """Return what Jet shows of a delivery."""
    return replace(JetDelivery(DELIVERY, state, NOW), **changes)


def a_jet_transfer(name: str = "t-1", state: str = "IN_PROGRESS") -> JetTransfer:
    """Return what Jet shows of a transfer."""
    return JetTransfer(TransferId(name), state, DELIVERY)
