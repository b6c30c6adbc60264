"""What the services see of a partition: its deliveries, one at a time."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from jetworker.core.command import CommandId, ObjectSpec
from jetworker.core.delivery import Delivery
from jetworker.core.trigger import Trigger


class DeliveryOwner(Protocol):
    """A partition's life, as far as the services need it."""

    @property
    def is_draining(self) -> bool:
        """Whether no new start may be written down."""

    @property
    def is_over(self) -> bool:
        """Whether nothing of it counts any more."""

    def find(self, command_id: CommandId) -> Delivery | None:
        """Return the open delivery of this id."""

    def objects(self, command_id: CommandId) -> Sequence[ObjectSpec]:
        """Return what an open delivery asks for, however it is held."""

    def apply(self, command_id: CommandId, trigger: Trigger) -> "asyncio.Future[None]":
        """Apply a trigger; the future is done when the step is durable."""

    def set_aside(self, command_id: CommandId, exc: Exception) -> None:
        """End or hold a delivery on which our own code failed."""

    def sending(self) -> AbstractContextManager[None]:
        """Hold a drain back while a start is on its way."""

    def check_lease(self, written_at: float) -> None:
        """Raise LeaseLost unless a start written down at *written_at* may be sent."""


@dataclass(frozen=True, slots=True)
class DeliveryHandle:
    """One delivery of one partition's life; it outlives neither."""

    owner: DeliveryOwner
    command_id: CommandId

    @property
    def delivery(self) -> Delivery | None:
        """The delivery as it is now; None once it ended or its owner did."""
        return None if self.owner.is_over else self.owner.find(self.command_id)

    @property
    def objects(self) -> Sequence[ObjectSpec]:
        """What it asks for; of one that waits, unpacked."""
        return self.owner.objects(self.command_id)

    def tell(self, trigger: Trigger) -> None:
        """Apply a trigger and go on; whether it becomes durable is its owner's care."""
        _ = self.owner.apply(self.command_id, trigger)

    def apply(self, trigger: Trigger) -> "asyncio.Future[None]":
        """
        Apply a trigger; awaiting it raises StoreError if the owner's life ends.

        And SetAside, at once, if our own code failed on it.
        """
        return self.owner.apply(self.command_id, trigger)

    def set_aside(self, exc: Exception) -> None:
        """Take it out of the others' way: our own code failed on it with *exc*."""
        if not self.owner.is_over:
            self.owner.set_aside(self.command_id, exc)
