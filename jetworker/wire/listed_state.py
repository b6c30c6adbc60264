"""The states by which deliveries are listed; apart, for the command line to begin quickly."""

from enum import StrEnum


class ListedState(StrEnum):
    """The states that events tell, and `held`, which is one of the uncertain ones."""

    ACCEPTED = "accepted"
    WAITING = "waiting"
    UNCERTAIN = "uncertain"
    HELD = "held"
    STARTED = "started"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
