"""Routes as values: our names that map to Jet's manual jobs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from jetworker.core.command import JobId, RouteName


class WhenPaused(StrEnum):
    """What to do about a job that is paused."""

    WAIT = "wait"
    FAIL = "fail"
    RESUME = "resume"


class OnUncertain(StrEnum):
    """What to do about a start whose outcome is unknown."""

    RECONCILE = "reconcile"
    HOLD = "hold"
    RESEND = "resend"


class Listing(StrEnum):
    """What GET job is taken to list: what is learned of it, or every delivery."""

    LEARNED = "learned"
    COMPLETE = "complete"


@dataclass(frozen=True, slots=True)
class Growing:
    """How a job follows files that still grow; used when the job is created."""

    idle_timeout: timedelta = timedelta(seconds=30)
    part_size_mib: int | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """
    One route: exactly one of *job_id*, *job_name*, or *source* with *destination*.

    *source* and *destination* are storage profiles, by id or name; with them,
    *job_name* is the name to find or create. No *allowed_paths* allow everything. Where
    it is *paused*, commands are taken and wait, and none is started.
    *is_exclusive* and *listing* are statements about the job, the same for all of its
    routes. *is_notified*: Jet's notifications of the job are subscribed to.
    """

    name: RouteName
    job_id: JobId | None = None
    job_name: str | None = None
    source: str | None = None
    destination: str | None = None
    growing: Growing | None = None
    when_paused: WhenPaused = WhenPaused.WAIT
    on_uncertain: OnUncertain = OnUncertain.RECONCILE
    max_active: int | None = None
    deadline: timedelta | None = None
    allowed_paths: tuple[str, ...] = ()
    paused: bool = False
    starts_at_once: int | None = None
    is_exclusive: bool = False
    listing: Listing = Listing.LEARNED
    is_notified: bool = False


def path_allowed(path: str, prefixes: Sequence[str]) -> bool:
    """
    Whether *path* is one of *prefixes* or below it, by whole segments.

    `/ingest/` and `/ingest` both allow the folder `/ingest` and everything below, not
    `/ingest2`. No prefixes allow everything.
    """
    if not prefixes:
        return True
    for prefix in prefixes:
        folder = prefix.rstrip("/")
        if path == folder or path.startswith(f"{folder}/"):
            return True
    return False
