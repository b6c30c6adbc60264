"""How a sandbox is set up, and what of it can be changed while it runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path


class Visible(StrEnum):
    """Which of its deliveries a job document shows."""

    YES = "yes"
    LATEST = "latest"
    NO = "no"


@dataclass(frozen=True, slots=True)
class Tuning:
    """
    What can be changed at run time, for all jobs or for one.

    *bandwidth* is bytes per second of a job, None is unlimited. *batch_size* is the
    most objects of one transfer. *step_seconds* is how long each of CREATED, QUEUED
    and SCHEDULED is shown. With *virtual_seconds* a delivery takes that long and
    touches no files; objects whose path contains *virtual_failing* fail.
    """

    bandwidth: int | None = None
    batch_size: int = 100
    step_seconds: float = 0.05
    growing_poll_seconds: float = 0.2
    virtual_seconds: float | None = None
    virtual_failing: str | None = None
    deliveries_visible: Visible = Visible.YES
    listing_lag_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class JobSeed:
    """A manual job to create at the start, unless one of that name is known."""

    name: str
    source: str
    destination: str
    growing_idle_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """
    Where the sandbox listens, what it serves and whom it lets in.

    Port 0 is any free port. *profiles* maps names to existing folders. With *data* the
    jobs, deliveries and files survive a restart. *seed* makes the probabilities of
    faults repeatable.
    """

    profiles: Mapping[str, Path] = field(default_factory=dict)
    jobs: tuple[JobSeed, ...] = ()
    host: str = "127.0.0.1"
    port: int = 0
    data: Path | None = None
    client_id: str = "demo"
    client_secret: str = field(default="demo-secret", repr=False)
    token_lifetime: timedelta = timedelta(hours=1)
    parallel_deliveries: int = 16
    seed: int | None = None
    tuning: Tuning = Tuning()
