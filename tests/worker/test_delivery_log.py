"""Log lines of a delivery: one for each step, at the right level, with its ids."""

from typing import Any

import pytest
import structlog

from jetworker.core.delivery import Event, EventType, Reason, ReasonCode, State
from jetworker.worker import delivery_log
from tests.support.builders import DELIVERY, a_delivery

HELD = Reason(ReasonCode.HELD, "no witness")


def said(kind: EventType, state: State, **changes: Any) -> list[Any]:
    with structlog.testing.capture_logs() as lines:
        delivery_log.tell(Event(kind, a_delivery(state, **changes)))
    return lines


@pytest.mark.parametrize(
    ("kind", "level"),
    [
        (EventType.ACCEPTED, "info"),
        (EventType.WAITING, "info"),
        (EventType.UNCERTAIN, "warning"),
        (EventType.STARTED, "info"),
        (EventType.COMPLETED, "info"),
        (EventType.FAILED, "warning"),
        (EventType.CANCELLED, "info"),
    ],
)
def test_a_step_is_one_line_with_its_ids(kind: EventType, level: str) -> None:
    (line,) = said(kind, State.STARTED)

    text = line.pop("event")
    assert text
    assert line == {
        "log_level": level,
        "command_id": "c-1",
        "route": "archive",
        "delivery_id": DELIVERY,
        "traceparent": "00-trace-01",
    }


def test_what_is_held_says_why_and_what_to_do() -> None:
    (line,) = said(EventType.UNCERTAIN, State.HELD, reason=HELD, traceparent=None)

    assert line == {
        "log_level": "warning",
        "event": "a start is held, an operator decides: jetworker explain, then resolve",
        "command_id": "c-1",
        "route": "archive",
        "reason": "held",
        "message": "no witness",
    }


def test_an_adopted_delivery_is_said_to_be_one() -> None:
    (line,) = said(EventType.STARTED, State.STARTED, adopted=True)

    assert line["adopted"] is True


@pytest.mark.parametrize("kind", [k for k in EventType if "progressed" in k])
def test_progress_is_no_line(kind: EventType) -> None:
    assert said(kind, State.IN_PROGRESS) == []
