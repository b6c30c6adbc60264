"""What the whole state topic says about a job: which deliveries are whose, what is open."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from jetworker.core.command import CommandId, DeliveryId, JobId
from jetworker.core.delivery import Delivery, State
from jetworker.core.finished import Finished
from jetworker.core.known import known_delivery, posts_of
from jetworker.core.post import Post
from jetworker.core.resumption import Mark, Position
from jetworker.core.witness import KnownDelivery
from jetworker.kafka.clients import KafkaClients
from jetworker.kafka.reader import HighWatermarks, keep, read
from jetworker.wire import positions, snapshots
from jetworker.worker.reconciliation.single_flight import SingleFlight

log = structlog.get_logger()

_UNKNOWN = frozenset({State.UNCERTAIN, State.HELD})
_SLICE = 500
_NAMED = 3  # commands in a message
_KEPT = 8  # jobs of which the decoded snapshots are kept from look to look


@dataclass(slots=True)
class JobBindings:
    """
    The deliveries of one job that commands are bound to, and its unknown posts.

    *pending_adopts* are the commands that an operator wants to be bound to a delivery,
    *claims* those that are about to take one by themselves.
    *unreadable* are the snapshots that this version cannot read, and that name the job or
    could: their commands may have started anything on it, and nothing is settled by
    itself meanwhile. What an operator orders is carried out, unless one of them names the
    delivery.
    """

    known: dict[DeliveryId, KnownDelivery] = field(default_factory=dict)
    posts: list[Post] = field(default_factory=list)
    pending_adopts: dict[DeliveryId, set[CommandId]] = field(default_factory=dict)
    claims: dict[DeliveryId, set[CommandId]] = field(default_factory=dict)
    unreadable: dict[CommandId, bytes] = field(default_factory=dict)

    def is_taken(self, delivery_id: DeliveryId) -> bool:
        """Whether a command is bound to it, or is to be by an operator's order."""
        return self.is_bound(delivery_id) or delivery_id in self.pending_adopts

    def is_bound(self, delivery_id: DeliveryId) -> bool:
        """Whether a command is bound to it, or may be: a snapshot that names it."""
        name = delivery_id.encode()
        named = any(name in value for value in self.unreadable.values())
        return named or delivery_id in self.known

    def claimants(self, delivery_id: DeliveryId, besides: CommandId) -> set[CommandId]:
        """Return the other commands that are about to take it by themselves."""
        return self.claims.get(delivery_id, set()) - {besides}

    def is_awaited(
        self, made_at: datetime, besides: CommandId, now: datetime | None
    ) -> bool:
        """
        Whether another command's start is in flight that can have made it then.

        One whose time is over *now*, by Jet's clock, is not answered any more.
        """
        return any(
            each.is_in_flight
            and each.command_id != besides
            and each.window.contains(made_at)
            and (now is None or now <= each.window.hi)
            for each in self.posts
        )

    @property
    def doubt(self) -> str | None:
        """Why nothing can be settled by itself on the job, None if it can."""
        if not self.unreadable:
            return None
        names = ", ".join(sorted(self.unreadable)[:_NAMED])
        return (
            f"the state of {names} cannot be read by this version, and what is on the"
            " job may be theirs"
        )

    def enter(self, snapshot: Delivery | Finished) -> None:
        """Take note of one command of the job."""
        known = known_delivery(snapshot)
        if known is not None:
            self.known[known.delivery_id] = known
        self.posts += posts_of(snapshot)
        if not isinstance(snapshot, Delivery):
            return
        if snapshot.pending is not None:
            wanted = snapshot.pending.delivery_id
            self.pending_adopts.setdefault(wanted, set()).add(snapshot.command_id)
        if snapshot.claimed is not None and snapshot.state in _UNKNOWN:
            self.claims.setdefault(snapshot.claimed, set()).add(snapshot.command_id)


_Latest = defaultdict[int, dict[bytes, bytes]]
_Decoded = dict[bytes, tuple[bytes, Delivery | Finished | None]]


class Bindings:
    """Reads every partition of the state topic, whoever owns it."""

    def __init__(self, kafka: KafkaClients) -> None:
        self._kafka = kafka
        self._latest = SingleFlight(self._read)
        self._decoded: dict[JobId, _Decoded] = {}

    async def read(self, job_id: JobId) -> JobBindings:
        """
        Return what is bound and open on a job, as of now; raises StoreError.

        Read up to the high watermark as it stands when the reading begins, not the
        last stable offset: a commit returns before its marker is visible.
        """
        bindings = JobBindings()
        latest = await self._latest.get(job_id)
        name = job_id.encode()
        before = self._decoded.pop(job_id, {})
        decoded: _Decoded = {}
        found = (each for part in latest.values() for each in part.items())
        for number, (key, value) in enumerate(found):
            if number % _SLICE == 0:
                await asyncio.sleep(0)
            if name not in value and _is_document(value):
                continue
            kept = before.get(key)
            if kept is None or kept[0] != value:
                kept = value, _decode(key, value)
            decoded[key] = kept
            if kept[1] is None:
                bindings.unreadable[CommandId(key.decode(errors="replace"))] = value
            elif kept[1].job_id == job_id:
                bindings.enter(kept[1])
        self._decoded[job_id] = decoded
        while len(self._decoded) > _KEPT:
            del self._decoded[next(iter(self._decoded))]
        return bindings

    async def _read(self, job_ids: tuple[JobId, ...]) -> _Latest:
        """
        Return the latest snapshots that name one of the jobs, by their partitions.

        An id that one has forgotten may have come again on another, after a growth. A
        broker that is late to know of that shows fewer partitions; but nothing is on a
        new one before every other says how many there are (`kafka/growth`).
        """
        names = {job_id.encode() for job_id in job_ids}
        at_least = 0
        while True:
            latest, of = await self._read_all(names, at_least)
            if of <= max(at_least, len(latest)):
                return latest
            at_least = of

    async def _read_all(self, names: set[bytes], at_least: int) -> tuple[_Latest, int]:
        """Return what all that are shown hold, and how many they say there are."""
        latest: _Latest = defaultdict(dict)
        said: dict[int, bytes] = {}
        end = HighWatermarks(at_least)
        async for batch in read(self._kafka, self._kafka.topics.state, end):
            for record in batch:
                value = record.value or b""
                is_wanted = any(name in value for name in names)
                is_wanted = is_wanted or not _is_document(value)
                part = latest[record.partition]
                keep(part, record.key, record.value if is_wanted else None)
                if record.key == positions.POSITION:
                    said[record.partition] = value
        return latest, max(map(_of, said.values()), default=0)


def _of(value: bytes) -> int:
    """Return how many partitions the state has, as one of them says."""
    kept = positions.fold(Mark.EMPTY, positions.POSITION, value or None)
    return kept.of if isinstance(kept, Position) else 0


def _is_document(value: bytes) -> bool:
    """Whether a snapshot is a JSON object, whatever its version: it names its job."""
    return value[:1] == b"{" and value[-1:] == b"}"


def _decode(key: bytes, value: bytes) -> Delivery | Finished | None:
    """Return a snapshot, None if this version cannot read it."""
    try:
        return snapshots.decode(value)
    except snapshots.UnreadableSnapshot:
        name = key.decode(errors="replace")
        log.warning(
            "a snapshot cannot be read, no unknown start is settled by itself on a job"
            " that it names",
            about=name,
            command_id=name,
        )
        return None
