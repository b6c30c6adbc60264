"""A history: snapshots of commands whose deliveries ended before anybody looks."""

from datetime import datetime

from jetworker.core.command import (
    CommandId,
    DeliveryId,
    JobId,
    ObjectSpec,
    RouteName,
)
from jetworker.core.delivery import Requested, State
from jetworker.core.finished import Finished
from jetworker.core.observation import Progress, Tally
from jetworker.core.post import Window, sample_of
from jetworker.wire import snapshots


def a_known(
    name: str,
    job: str,
    delivery_id: str,
    spec: ObjectSpec,
    began: datetime,
    ended: datetime | None,
) -> bytes:
    """
    Return the snapshot of a command for one file, moved in an instant.

    *ended* is when Jet says so; None where it does not: a deadline ended the command.
    """
    moved, none = Tally(1, spec.size or 0), Tally(0, 0)
    return snapshots.encode(
        Finished(
            command_id=CommandId(name),
            fingerprint=name.ljust(16)[:16].encode(),
            state=State.COMPLETED if ended else State.FAILED,
            finished_at=began,
            route=RouteName(f"to-{job}"),
            sequence=3,
            attempt=1,
            job_id=JobId(job),
            delivery_id=DeliveryId(delivery_id),
            started_at=began,
            accepted_at=began,
            requested=Requested(1, spec.size),
            progress=Progress(moved, none, none),
            jet_state="COMPLETED" if ended else "IN_PROGRESS",
            made_in=Window(began, began),
            ended_on=ended,
            sample=sample_of([spec]),
        )
    )
