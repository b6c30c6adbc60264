"""
Labelled points at which a test kills or freezes the worker; else nothing happens there.

A worker whose environment has `TEST_CRASH_AT` set to a label kills itself with SIGKILL
the first time it reaches that point; with `TEST_FREEZE_AT` it stops itself with SIGSTOP.
The names have no `JETWORKER_` prefix: they are no settings.
"""

import os
import signal
from enum import StrEnum

from jetworker.core.transitions import Effect

CRASH_AT = "TEST_CRASH_AT"
FREEZE_AT = "TEST_FREEZE_AT"


class Point(StrEnum):
    """Where a worker can be killed or frozen, in the order of a delivery's life."""

    FENCED = "fenced"
    RESTORED = "restored"
    READ = "read"
    UNCOMMITTED = "uncommitted"
    ACCEPTED = "accepted"
    BEFORE_INTENT = "before_intent"
    AFTER_INTENT = "after_intent"
    CHECKED = "checked"
    ANSWERED = "answered"
    AFTER_STARTED = "after_started"
    POLLED = "polled"
    BEFORE_END = "before_end"
    AFTER_END = "after_end"
    DOUBTED = "doubted"
    SETTLED = "settled"
    FOUND = "found"
    ADOPTED = "adopted"
    REVOKED = "revoked"
    DRAINED = "drained"


_EFFECTS = {
    Effect.QUEUE_START: Point.ACCEPTED,
    Effect.LOOK_UP: Point.DOUBTED,
    Effect.RETIRE: Point.AFTER_END,
}


def reach(point: Point) -> None:
    """Die or stand still here, if a test wants it."""
    if os.environ.get(CRASH_AT) == point:
        os.kill(os.getpid(), signal.SIGKILL)
    if os.environ.get(FREEZE_AT) == point:
        del os.environ[FREEZE_AT]
        os.kill(os.getpid(), signal.SIGSTOP)


def reach_effect(effect: Effect) -> None:
    """Die or stand still before an effect is performed, if a test wants it."""
    point = _EFFECTS.get(effect)
    if point is not None:
        reach(point)
