"""Which command is about to take which delivery, within one worker."""

from collections.abc import Iterator
from contextlib import contextmanager

from jetworker.core.command import CommandId, DeliveryId


class Reservations:
    """Lets one command at a time find out whether a delivery is still free, and take it."""

    def __init__(self) -> None:
        self._claimants: dict[DeliveryId, CommandId] = {}

    @contextmanager
    def claim(self, delivery_id: DeliveryId, command_id: CommandId) -> Iterator[bool]:
        """Claim a delivery for as long as this lasts; yields whether no other has."""
        is_ours = delivery_id not in self._claimants
        if is_ours:
            self._claimants[delivery_id] = command_id
        try:
            yield is_ours
        finally:
            if is_ours:
                del self._claimants[delivery_id]
