"""Effects: what the shell does once a step is committed, and after a restore."""

from enum import StrEnum
from typing import assert_never

from jetworker.core.delivery import Delivery, State


class Effect(StrEnum):
    """What a delivery wants done next."""

    QUEUE_START = "queue_start"
    SEND_START = "send_start"
    LOOK_UP = "look_up"
    FOLLOW = "follow"
    RETIRE = "retire"


def effect_of(delivery: Delivery) -> Effect:
    """Return what a delivery in this state wants, whoever brought it there."""
    match delivery.state:
        case State.ACCEPTED | State.WAITING | State.CLEARED:
            return Effect.QUEUE_START
        case State.STARTING:
            return Effect.SEND_START
        case State.UNCERTAIN | State.HELD:
            return Effect.LOOK_UP
        case State.STARTED | State.IN_PROGRESS:
            return Effect.FOLLOW
        case State.COMPLETED | State.FAILED | State.CANCELLED:
            return Effect.RETIRE
        case _:
            assert_never(delivery.state)
