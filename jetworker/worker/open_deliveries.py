"""
The open deliveries of one partition, as memory holds them.

Thousands may wait, of thousands of objects each: the objects of one that waits are held
packed, and how many bytes of them there are is counted.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from jetworker.core.command import CommandId
from jetworker.core.delivery import Delivery
from jetworker.wire import objects
from jetworker.worker.delivery_counts import DeliveryCounts


@dataclass(frozen=True, slots=True)
class Held:
    """
    A delivery as it is held; *packed* are the objects of one that waits.

    *size* is how many bytes of them count against `starts.max_waiting_bytes`.
    """

    delivery: Delivery
    packed: bytes | None = None
    size: int | None = None

    @classmethod
    def of(cls, delivery: Delivery) -> "Held":
        """Pack one: an error comes before anything has changed."""
        if not delivery.state.is_startable:
            return cls(delivery)
        return cls(*objects.pack(delivery))


class OpenDeliveries:
    """What a partition holds of its open deliveries, and counts of them."""

    def __init__(self, counts: DeliveryCounts) -> None:
        self.unstarted = 0
        self._counts = counts
        self._open: dict[CommandId, Delivery] = {}
        self._packed: dict[CommandId, bytes] = {}
        self._sizes: dict[CommandId, int] = {}

    @property
    def all(self) -> Mapping[CommandId, Delivery]:
        """All by id; one that waits, without its objects."""
        return self._open

    def whole(self, command_id: CommandId) -> Delivery | None:
        """Return one with its objects, however it is held; None if it is not open."""
        delivery = self._open.get(command_id)
        packed = self._packed.get(command_id)
        if delivery is None or packed is None:
            return delivery
        return objects.unpack(delivery, packed)

    def put(self, held: Held) -> None:
        """Hold one as it is now; one that has ended is held no more."""
        after = held.delivery
        command_id = after.command_id
        before = self._open.get(command_id)
        if before is None:
            self._counts.enter(after)
        else:
            self._counts.move(before, after)
        self.unstarted += after.state.is_startable
        self.unstarted -= before is not None and before.state.is_startable
        self._let_go(command_id)
        if after.state.is_final:
            self._open.pop(command_id, None)
            return
        if held.packed is not None:
            self._packed[command_id] = held.packed
        if held.size is not None:
            self._sizes[command_id] = held.size
            self._counts.waiting_bytes += held.size
        self._open[command_id] = after

    def drop(self, command_id: CommandId) -> None:
        """Hold one no more that has not ended."""
        delivery = self._open.pop(command_id)
        self.unstarted -= delivery.state.is_startable
        self._counts.leave(delivery)
        self._let_go(command_id)

    def leave(self) -> None:
        """Hold and count none of them any more: they are somebody else's."""
        for size in self._sizes.values():
            self._counts.waiting_bytes -= size
        if self._open:
            self._counts.leave_all(self._open.values())
        for held in (self._open, self._packed, self._sizes):
            held.clear()

    def _let_go(self, command_id: CommandId) -> None:
        self._packed.pop(command_id, None)
        self._counts.waiting_bytes -= self._sizes.pop(command_id, 0)
