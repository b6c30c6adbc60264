"""
Deliveries that copy nothing: what they show is a function of the time.

A tenth of the time goes to CREATED and QUEUED, the rest to the batches in equal parts;
of each part a tenth is SCHEDULED. No task runs: a delivery is brought up to date when
somebody asks for it.
"""

from dataclasses import dataclass

from jetworker.sandbox.jet.model import DeliveryState, File, FileState

_BEFORE = 0.1
_SCHEDULED = 0.1


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a virtual delivery is: *batch* is under way, *fraction* of it is done."""

    state: DeliveryState
    batch: int
    fraction: float = 0.0


def stage(seconds: float, batches: int, elapsed: float) -> Stage:
    """Return the stage after *elapsed* of *seconds*; final ones are COMPLETED here."""
    if elapsed >= seconds:
        return Stage(DeliveryState.COMPLETED, batches)
    share = elapsed / seconds
    if share < _BEFORE:
        is_new = share < _BEFORE / 2
        return Stage(DeliveryState.CREATED if is_new else DeliveryState.QUEUED, 0)
    position = (share - _BEFORE) / (1 - _BEFORE) * batches
    batch = min(int(position), batches - 1)
    inside = min(position - batch, 1.0)
    if inside < _SCHEDULED:
        return Stage(DeliveryState.SCHEDULED, batch)
    fraction = (inside - _SCHEDULED) / (1 - _SCHEDULED)
    return Stage(DeliveryState.IN_PROGRESS, batch, fraction)


def advance(files: list[File], fraction: float, failing: str | None) -> None:
    """Bring a batch's files to *fraction*: one after the other, by count."""
    done = fraction * len(files)
    for place, file in enumerate(files):
        if file.state is not FileState.IN_PROGRESS or done <= place:
            continue
        size, is_over = file.size or 0, done >= place + 1
        if failing is not None and failing in file.path:
            if is_over:  # not a byte before: what was shown is never taken back
                file.state = FileState.FAILED
                file.error = "fails because its path contains virtual_failing"
        elif is_over:
            file.copied, file.state = size, FileState.COMPLETED
        else:
            file.copied = int(size * (done - place))
