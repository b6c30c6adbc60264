"""What the fake of Jet remembers, and the documents that it shows of it."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

Document = dict[str, Any]


def _now() -> str:
    return _text(datetime.now(UTC))


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass
class Job:
    """A manual job."""

    job_id: str
    name: str
    profiles: tuple[str, str]
    paused: bool = False
    created_on: str = field(default_factory=_now)

    def document(self, shown: "list[Started]") -> Document:
        """Return the job with some of its deliveries."""
        source, destination = self.profiles
        data = {
            "source": {"storageProfileId": source},
            "destination": {"storageProfileId": destination},
        }
        document: Document = {
            "jobId": self.job_id,
            "name": self.name,
            "createdOn": self.created_on,
            "actions": [{"type": "TRANSFER", "data": data}],
            "activity": {"deliveries": [{"deliveryId": d.delivery_id} for d in shown]},
        }
        return document | ({"paused": True} if self.paused else {})

    def found(self) -> Document:
        """Return the job as a search shows it."""
        return {
            "jobId": self.job_id,
            "jobName": self.name,
            "status": "PAUSED" if self.paused else "READY",
        }


@dataclass
class Started:
    """A delivery; it is over *seconds* after it was created."""

    delivery_id: str
    job_id: str
    objects: list[Document]
    seconds: float
    created_on: str = field(default_factory=_now)
    began: float = field(default_factory=lambda: asyncio.get_running_loop().time())
    end_state: str = "COMPLETED"
    failed: int = 0
    object_bytes: int | None = None  # of each, whatever the command said
    queued: float = 0.0

    @property
    def transfer_id(self) -> str:
        """The id of its one transfer."""
        return f"t-{self.delivery_id}"[:40]

    @property
    def age(self) -> float:
        """Seconds since it was created."""
        return asyncio.get_running_loop().time() - self.began

    @property
    def is_over(self) -> bool:
        """Whether its time has passed."""
        return self.age >= self.seconds

    @property
    def state(self) -> str:
        """Jet's word for it."""
        if self.age < self.queued:
            return "QUEUED"
        return self.end_state if self.is_over else "IN_PROGRESS"

    @property
    def modified_on(self) -> str:
        """When it last changed: when it ended, or just now."""
        created = datetime.fromisoformat(self.created_on)
        return _text(created + timedelta(seconds=min(self.age, self.seconds)))

    def document(self) -> Document:
        """Return the delivery."""
        return {
            "metadata": {"jobId": self.job_id, "baseUrl": "https://storage.example/x"},
            "deliverySummary": self._progress(),
            "state": self.state,
            "deliveryId": self.delivery_id,
            "createdOn": self.created_on,
            "lastModifiedOn": self.modified_on,
            "transfers": [{"transferId": self.transfer_id}],
        }

    def transfer(self) -> Document:
        """Return its one transfer."""
        return {
            "transferId": self.transfer_id,
            "state": self.state,
            "metadata": {"deliveryId": self.delivery_id, "isRetry": False},
            "transferProgress": self._progress(),
            "source": {"url": "https://storage.example/secret"},
        }

    def files(self) -> list[Document]:
        """Return its files."""
        return [
            {
                "url": f"file:///storage{spec['relativePath']}",
                "transferId": self.transfer_id,
                "state": "IN_PROGRESS",
                "createdOn": self.created_on,
            }
            for spec in self.objects
        ]

    def _progress(self) -> Document:
        moving = max(0.0, self.age - self.queued) / max(0.001, self.seconds)
        part = 1.0 if self.is_over else moving
        total = sum(spec.get("sizeInBytes", 0) for spec in self.objects)
        if self.object_bytes is not None:
            total = self.object_bytes * len(self.objects)
        done = int(part * len(self.objects)) - (self.failed if self.is_over else 0)
        return {
            "transferred": {"count": done, "bytes": int(total * part)},
            "skipped": {"count": 0, "bytes": 0},
            "failed": {"count": self.failed if self.is_over else 0, "bytes": 0},
        }
