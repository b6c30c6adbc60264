"""What the sandbox remembers: profiles, jobs, deliveries, transfers, files."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from jetworker.core.command import (
    DeliveryId,
    JobId,
    ObjectSpec,
    ProfileId,
    TransferId,
)
from jetworker.core.observation import Progress, Tally
from jetworker.sandbox.jet.gate import Gate
from jetworker.sandbox.jet.settings import Tuning


class DeliveryState(StrEnum):
    """Jet's states of a delivery; QUEUED to IN_PROGRESS come again with every batch."""

    CREATED = "CREATED"
    QUEUED = "QUEUED"
    SCHEDULED = "SCHEDULED"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"

    @property
    def is_final(self) -> bool:
        """Whether nothing comes after it."""
        return self in {DeliveryState.COMPLETED, DeliveryState.FAILED}


class TransferState(StrEnum):
    """Jet's states of a transfer."""

    SCHEDULED = "SCHEDULED"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"


class FileState(StrEnum):
    """Jet's states of a file."""

    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


@dataclass(slots=True, eq=False)
class File:
    """One file of a transfer; *size* is as far as it is known, *copied* so far."""

    path: str
    size: int | None
    state: FileState = FileState.IN_PROGRESS
    copied: int = 0
    error: str | None = None


@dataclass(slots=True, eq=False)
class Transfer:
    """One batch of a delivery; *progress* is set once it has ended."""

    transfer_id: TransferId
    batch_id: str
    created_on: datetime
    changed_on: datetime
    files: list[File]
    state: TransferState = TransferState.SCHEDULED
    is_retry: bool = False
    is_growing: bool = False
    progress: Progress | None = None


@dataclass(slots=True, eq=False)
class Delivery:
    """One start; *virtual* is (begun, seconds) on the job's clock if nothing is copied."""

    delivery_id: DeliveryId
    job_id: JobId
    objects: tuple[ObjectSpec, ...]
    created_on: datetime
    changed_on: datetime
    state: DeliveryState = DeliveryState.CREATED
    transfers: list[Transfer] = field(default_factory=list)
    virtual: tuple[float, float] | None = None
    is_foreign: bool = False


@dataclass(frozen=True, slots=True)
class Profile:
    """A storage profile: a local folder."""

    profile_id: ProfileId
    name: str
    folder: Path
    created_on: datetime


@dataclass(slots=True, eq=False)
class Job:
    """A manual job; *paused* is None until somebody paused or resumed it."""

    job_id: JobId
    name: str
    source: Profile
    destination: Profile
    options: dict[str, Any]
    created_on: datetime
    changed_on: datetime
    gate: Gate
    tuning: Tuning
    paused: bool | None = None
    deliveries: dict[DeliveryId, Delivery] = field(default_factory=dict)
    open: dict[DeliveryId, Delivery] = field(default_factory=dict)
    transfers: dict[TransferId, tuple[Delivery, Transfer]] = field(default_factory=dict)

    @property
    def growing_idle_seconds(self) -> float | None:
        """How long a growing file must rest to be done; None: files do not grow."""
        if not self.options.get("areGrowingObjects"):
            return None
        growing = self.options.get("growingObjects") or {}
        return float(growing.get("growingIdleTimeoutInSeconds", 30))


def progress_of(files: Iterable[File]) -> Progress:
    """Count files: the bytes of a file under way are transferred, it is not yet."""
    done = failed = done_bytes = failed_bytes = 0
    for file in files:
        if file.state is FileState.FAILED:
            failed += 1
            failed_bytes += file.size or 0
        else:
            done += file.state is FileState.COMPLETED
            done_bytes += file.copied
    return Progress(Tally(done, done_bytes), Tally(), Tally(failed, failed_bytes))


def summary_of(delivery: Delivery) -> Progress:
    """Add up the transfers of a delivery."""
    every = [t.progress or progress_of(t.files) for t in delivery.transfers]
    return Progress(
        _sum(p.transferred for p in every), Tally(), _sum(p.failed for p in every)
    )


def _sum(tallies: Iterable[Tally]) -> Tally:
    count = size = 0
    for tally in tallies:
        count += tally.count
        size += tally.bytes
    return Tally(count, size)
