"""Fakes of the worker's own protocols."""

import asyncio
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from jetworker.core.command import CommandId
from jetworker.core.delivery import Delivery
from jetworker.core.lifecycle import transition
from jetworker.core.steps import Policy
from jetworker.core.trigger import Trigger
from tests.builders import NOW


@dataclass
class OneDelivery:
    """Owns a delivery, and keeps what it was told."""

    delivery: Delivery
    told: list[Trigger] = field(default_factory=list)
    is_draining: bool = False
    is_over: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def find(self, command_id: CommandId) -> Delivery | None:
        return self.delivery if command_id == self.delivery.command_id else None

    def apply(self, command_id: CommandId, trigger: Trigger) -> "asyncio.Future[None]":
        assert command_id == self.delivery.command_id
        self.told.append(trigger)
        self.delivery = transition(self.delivery, trigger, NOW, Policy()).delivery
        self.changed.set()
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    def sending(self) -> AbstractContextManager[None]:
        return nullcontext()

    def check_lease(self, written_at: float) -> None:
        raise AssertionError(written_at)
