"""What the simulated Jet shows of its deliveries."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import lru_cache
from typing import Any

_BEGINNING = ("QUEUED", "PLANNING_SOMETHING")
EPOCH = datetime(2027, 1, 15, 8, 0, tzinfo=UTC)


def now() -> datetime:
    """Return the time of the simulated world."""
    return EPOCH + timedelta(seconds=asyncio.get_running_loop().time())


def http_date(skew: float = 0.0) -> str:
    """Return the time as HTTP writes it, by a clock that is wrong by some seconds."""
    return _http_date(int(asyncio.get_running_loop().time() + skew))


@lru_cache(1000)
def _http_date(second: int) -> str:
    return format_datetime(EPOCH + timedelta(seconds=second), usegmt=True)


@dataclass
class Delivery:
    """One delivery; *command_id* is who asked for it, None for a person."""

    delivery_id: str
    job_id: str
    command_id: str | None
    objects: list[dict[str, Any]]
    created_at: float
    seconds: float
    shown_at: float
    failed: int = 0
    grown: int = 0
    is_lagging: bool = False
    is_cut: bool = False
    intent: int | None = None
    queued: float = 0.05

    @property
    def age(self) -> float:
        """Seconds since it was made."""
        return asyncio.get_running_loop().time() - self.created_at

    @property
    def is_over(self) -> bool:
        """Whether all is moved."""
        return self.age >= self.seconds

    def queue(self, seconds: float) -> None:
        """Let it begin so many seconds after it was made, and end as much later."""
        self.seconds += seconds - self.queued
        self.queued = seconds

    @property
    def is_queued(self) -> bool:
        """Whether it has not begun."""
        return self.age < self.queued


def delivery(d: Delivery) -> dict[str, Any]:
    """Return the document of a delivery."""
    ended = "COMPLETED" if d.is_over else "IN_PROGRESS"
    return {
        "deliveryId": d.delivery_id,
        "state": _BEGINNING[len(d.objects) % 2] if d.is_queued else ended,
        "createdOn": _text(int(d.created_at) if d.is_cut else d.created_at),
        "lastModifiedOn": _text(d.created_at + min(d.age, d.seconds)),
        "deliverySummary": progress(d),
        "transfers": [] if d.is_queued else [{"transferId": f"t-{d.delivery_id}"}],
    }


def transfer(d: Delivery) -> dict[str, Any]:
    """Return the document of its only transfer, which ends before or after it."""
    ended = d.age >= d.seconds + (0.5 if d.is_lagging else -0.5)
    return {
        "transferId": f"t-{d.delivery_id}",
        "state": "COMPLETED" if ended else "IN_PROGRESS",
        "metadata": {"deliveryId": d.delivery_id},
        "transferProgress": progress(d),
    }


def files(d: Delivery) -> list[dict[str, Any]]:
    """Return the files of a delivery: none of an object that fails."""
    return [
        {
            "url": f"file:///store{spec['relativePath']}",
            "transferId": f"t-{d.delivery_id}",
        }
        for spec in (() if d.is_queued else d.objects[d.failed :])
    ]


def progress(d: Delivery) -> dict[str, Any]:
    """Return what has been moved of a delivery."""
    part = 0.0 if d.is_queued else min(1.0, d.age / d.seconds)
    size = sum(spec.get("sizeInBytes", 0) for spec in d.objects) + d.grown
    count = int(len(d.objects) * part)
    failed = d.failed if d.is_over else 0
    return {
        "transferred": {"count": count - failed, "bytes": int(size * part)},
        "skipped": {"count": 0, "bytes": 0},
        "failed": {"count": failed, "bytes": 0},
    }


def _text(at: float) -> str:
    return (EPOCH + timedelta(seconds=at)).isoformat()
