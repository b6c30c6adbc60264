"""
Finished deliveries, remembered for the dedupe window in as few bytes as possible.

One is a dict entry of two small byte strings, 64 bytes of value at the most for a
UUID: 700,000 of them fit into 150 MB, which objects would not.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from heapq import nlargest
from math import ceil
from typing import NamedTuple
from uuid import UUID  # noqa: TID251 -- a parser of ids here, not a source of them

from jetworker.core.command import CommandId, DeliveryId, JobId, RouteName
from jetworker.core.delivery import Delivery, FailedObjects, Reason, Requested, State
from jetworker.core.observation import Progress
from jetworker.core.post import Ghost, Window

_HEAD = struct.Struct(">8sBI")
_CANONICAL = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LATEST = 2**32 - 1  # seconds: as far as four bytes reach
_STATES = (State.COMPLETED, State.FAILED, State.CANCELLED)
# Beside the state: that the partition of its row follows.
_ELSEWHERE = 0x80
_PARTITION = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class Finished:
    """
    What the state topic keeps of a delivery that has ended.

    The fields from *accepted_at* on are not known of one that 0.1.0 wrote. *told_on* is
    the partition of its row in the deliveries topic, None where that is the one that the
    events topic's first number of partitions gives. *unknown* is what the snapshot held
    that this version does not know. Memory does not keep it: no snapshot is written
    again from there.
    """

    command_id: CommandId
    fingerprint: bytes
    state: State
    finished_at: datetime
    route: RouteName
    sequence: int
    attempt: int = 0
    job_id: JobId | None = None
    delivery_id: DeliveryId | None = None
    reason: Reason | None = None
    started_at: datetime | None = None
    doubted_at: datetime | None = None
    accepted_at: datetime | None = None
    requested: Requested | None = None
    progress: Progress | None = None
    jet_state: str | None = None
    adopted: bool = False
    metadata: bytes | None = None
    made_in: Window | None = None
    ended_on: datetime | None = None
    sample: bytes | None = None
    folders: bool = False
    posts: tuple[Ghost, ...] = ()
    unknown: bytes | None = None
    failed_objects: FailedObjects | None = None
    told_on: int | None = None


class Brief(NamedTuple):
    """
    What a restore needs of a finished one, which it does by the hundred thousand.

    *finished_at* and *made_at*, from when on Jet can have made it, are seconds since
    1970. *made_at* is None of one that testifies for nobody.
    """

    command_id: CommandId
    fingerprint: bytes
    state: State
    finished_at: float
    delivery_id: DeliveryId | None
    told_on: int | None
    job_id: JobId | None
    made_at: float | None
    is_doubted: bool


class Newest:
    """Keeps the snapshots of the *number* that were made last on each job."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._jobs: dict[JobId, list[tuple[float, CommandId, bytes]]] = {}

    def add(
        self, job_id: JobId, made_at: float, command_id: CommandId, value: bytes
    ) -> None:
        """Keep one, for as long as it is among them."""
        kept = self._jobs.setdefault(job_id, [])
        kept.append((made_at, command_id, value))
        if len(kept) >= 10 * self._number:  # rarely: that is what makes it cheap
            kept[:] = nlargest(self._number, kept)

    def __iter__(self) -> Iterator[tuple[CommandId, bytes]]:
        """Yield them with whose they are, job by job."""
        for kept in self._jobs.values():
            for _, command_id, value in nlargest(self._number, kept):
                yield command_id, value


@dataclass(frozen=True, slots=True)
class Remembered:
    """What memory keeps of it; *fingerprint* is the first 8 bytes."""

    fingerprint: bytes
    state: State
    finished_at: datetime
    delivery_id: DeliveryId | None
    told_on: int | None = None

    def is_same(self, fingerprint: bytes) -> bool:
        """Whether a command of this fingerprint has the same content."""
        return fingerprint[:8] == self.fingerprint


def finish(delivery: Delivery) -> Finished:
    """
    Return what is kept of a delivery in a final state.

    What it asked for and when Jet made and ended it testifies for others on its job.
    """
    assert delivery.finished_at is not None
    is_bound = delivery.delivery_id is not None
    return Finished(
        command_id=delivery.command_id,
        fingerprint=delivery.fingerprint,
        state=delivery.state,
        finished_at=delivery.finished_at,
        route=delivery.route,
        sequence=delivery.sequence,
        attempt=delivery.attempt,
        job_id=delivery.job_id,
        delivery_id=delivery.delivery_id,
        reason=delivery.reason,
        started_at=delivery.started_at,
        doubted_at=delivery.doubted_at,
        accepted_at=delivery.accepted_at,
        requested=delivery.requested,
        progress=delivery.progress,
        jet_state=delivery.jet_state,
        adopted=delivery.adopted,
        metadata=delivery.metadata,
        made_in=made_in(delivery) if is_bound else None,
        ended_on=delivery.ended_on,
        sample=delivery.sample,
        folders=delivery.folders,
        posts=delivery.posts,
        unknown=delivery.unknown,
        failed_objects=delivery.failed_objects,
    )


def made_in(delivery: Delivery) -> Window | None:
    """Return when Jet can have made the delivery that is bound."""
    if delivery.created_on is not None:
        return Window(delivery.created_on, delivery.created_on)
    return delivery.made_in


class DedupeIndex:
    """The finished deliveries of one partition, oldest first."""

    def __init__(self) -> None:
        self._packed: dict[bytes, bytes] = {}

    def __len__(self) -> int:
        """Return how many are remembered."""
        return len(self._packed)

    def add(self, finished: Finished) -> None:
        """Remember one; they come in the order in which they finished."""
        packed = _pack(
            finished.fingerprint,
            finished.state,
            finished.finished_at.timestamp(),
            finished.delivery_id,
            finished.told_on,
        )
        self._packed[finished.command_id.encode()] = packed

    def recall(self, brief: Brief) -> None:
        """Remember one that was read in brief."""
        packed = _pack(
            brief.fingerprint,
            brief.state,
            brief.finished_at,
            brief.delivery_id,
            brief.told_on,
        )
        self._packed[brief.command_id.encode()] = packed

    def get(self, command_id: CommandId) -> Remembered | None:
        """Return what is remembered of a command, None if nothing is."""
        packed = self._packed.get(command_id.encode())
        return _unpack(packed) if packed else None

    def forget(self, command_id: CommandId) -> None:
        """Drop one, after its tombstone is written."""
        self._packed.pop(command_id.encode(), None)

    def expired(self, now: datetime, window: timedelta) -> Iterator[CommandId]:
        """Yield those that finished longer than *window* ago, oldest first."""
        for key, packed in self._packed.items():
            if _unpack(packed).finished_at + window > now:
                return
            yield CommandId(key.decode())


def _pack(
    fingerprint: bytes,
    state: State,
    finished_at: float,
    delivery_id: DeliveryId | None,
    told_on: int | None,
) -> bytes:
    number, row = _STATES.index(state), b""
    if told_on is not None:
        number, row = number | _ELSEWHERE, _PARTITION.pack(told_on)
    seconds = min(max(0, ceil(finished_at)), _LATEST)  # up: nothing is forgotten early
    head = _HEAD.pack(fingerprint[:8], number, seconds)
    return head + row + _pack_id(delivery_id or "")


def _unpack(packed: bytes) -> Remembered:
    fingerprint, state, seconds = _HEAD.unpack_from(packed)
    end, told_on = _HEAD.size, None
    if state & _ELSEWHERE:
        (told_on,) = _PARTITION.unpack_from(packed, end)
        end += _PARTITION.size
    return Remembered(
        fingerprint,
        _STATES[state & ~_ELSEWHERE],
        datetime.fromtimestamp(seconds, UTC),
        _unpack_id(packed[end:]),
        told_on,
    )


def _pack_id(delivery_id: str) -> bytes:
    """Pack a canonical UUID into 16 bytes, anything else as text after a blank."""
    if _CANONICAL.fullmatch(delivery_id):
        return b"u" + bytes.fromhex(delivery_id.replace("-", ""))
    return b" " + delivery_id.encode() if delivery_id else b""


def _unpack_id(packed: bytes) -> DeliveryId | None:
    if not packed:
        return None
    if packed.startswith(b"u"):
        return DeliveryId(str(UUID(bytes=packed[1:])))
    return DeliveryId(packed[1:].decode())
