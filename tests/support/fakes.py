"""Fakes of the worker's own protocols."""

import asyncio
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime

from typing_extensions import override

from jetworker.core.command import CommandId, JobId, ObjectSpec
from jetworker.core.delivery import Delivery
from jetworker.core.lifecycle import set_aside, transition
from jetworker.core.transitions import Policy
from jetworker.core.trigger import Trigger
from jetworker.kafka.state_store import Write
from jetworker.runtime.clock import Clock
from jetworker.wire.snapshots import Snapshot
from jetworker.worker.handle import DeliveryHandle
from tests.support.builders import NOW


class HandClock(Clock):
    """A clock that a test moves."""

    def __init__(self, at: float = 1000.0) -> None:
        self.at = at

    @override
    def now(self) -> datetime:
        return datetime.fromtimestamp(self.at, UTC)

    @override
    def monotonic(self) -> float:
        return self.at

    @override
    def jitter(self) -> float:
        return 0.0


class SteadyClock(Clock):
    """The loop's clock without luck: what is spread is spread by as much each time."""

    def __init__(self, luck: float = 1.0) -> None:
        self._luck = luck

    @override
    def jitter(self) -> float:
        return self._luck


@dataclass
class OneDelivery:
    """Owns a delivery, and keeps what it was told."""

    delivery: Delivery
    told: list[Trigger] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    is_draining: bool = False
    is_over: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def find(self, command_id: CommandId) -> Delivery | None:
        return self.delivery if command_id == self.delivery.command_id else None

    def objects(self, command_id: CommandId) -> tuple[ObjectSpec, ...]:
        assert command_id == self.delivery.command_id
        return self.delivery.objects

    def apply(self, command_id: CommandId, trigger: Trigger) -> "asyncio.Future[None]":
        assert command_id == self.delivery.command_id
        self.told.append(trigger)
        self.delivery = transition(self.delivery, trigger, NOW, Policy()).delivery
        self.changed.set()
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    def set_aside(self, command_id: CommandId, exc: Exception) -> None:
        assert command_id == self.delivery.command_id
        self.failures.append(exc)
        self.delivery = set_aside(self.delivery, NOW).delivery
        self.changed.set()

    def sending(self) -> AbstractContextManager[None]:
        return nullcontext()

    def check_lease(self, written_at: float) -> None:
        raise AssertionError(written_at)


@dataclass
class Telling:
    """Says of which jobs the files tell; *asked* is of which it was to find out."""

    of: set[JobId] = field(default_factory=set)
    asked: set[JobId] = field(default_factory=set)

    def tell(self, job_id: JobId) -> bool:
        return job_id in self.of

    def ask(self, job_id: JobId) -> None:
        self.asked.add(job_id)


@dataclass
class Performer:
    """Takes what it is handed, and does nothing about it."""

    taken: list[CommandId] = field(default_factory=list)
    seen: list[Snapshot] = field(default_factory=list)
    recalled: list[CommandId] = field(default_factory=list)

    def take(self, handle: DeliveryHandle) -> None:
        self.taken.append(handle.command_id)

    def recall(self, snapshot: Snapshot) -> None:
        if snapshot.doubted_at is not None:
            self.recalled.append(snapshot.command_id)

    def notice(self, before: Delivery | None, after: Delivery) -> None:
        assert before is None or before.command_id == after.command_id

    def touch(self, snapshot: Snapshot) -> None:
        self.seen.append(snapshot)


@dataclass
class Written:
    """A store whose every write is durable at once."""

    writes: list[Write] = field(default_factory=list)

    def told_on(self, _command_id: str) -> int:
        return 0

    def told_on_before(self, _command_id: str) -> int:
        return 1

    def submit(self, write: Write) -> "asyncio.Future[None]":
        self.writes.append(write)
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done
