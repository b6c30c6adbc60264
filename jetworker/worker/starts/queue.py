"""The deliveries of one route that wait to be started, in order."""

from collections import OrderedDict
from collections.abc import Iterator
from datetime import datetime

from jetworker.core.command import CommandId
from jetworker.core.delivery import expiry, is_expired, soonest_expiry
from jetworker.worker.handle import DeliveryHandle


class StartQueue:
    """
    First come, first started; what ended, or whose partition went, drops out.

    Thousands may wait: only the head, and what can expire, is looked at every time.
    """

    def __init__(self) -> None:
        self._entries: OrderedDict[CommandId, DeliveryHandle] = OrderedDict()
        self._expiring: dict[CommandId, DeliveryHandle] = {}

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._entries)

    def __iter__(self) -> Iterator[DeliveryHandle]:
        """Iterate over what waits now, whatever comes or goes meanwhile."""
        return iter(list(self._entries.values()))

    def put(self, handle: DeliveryHandle, *, first: bool = False) -> None:
        """Queue an entry that waits; one that is queued keeps its place."""
        self._entries[handle.command_id] = handle
        delivery = handle.delivery
        if delivery is not None and expiry(delivery) is not None:
            self._expiring[handle.command_id] = handle
        if first:
            self._entries.move_to_end(handle.command_id, last=False)

    def remove(self, handle: DeliveryHandle) -> None:
        """Take an entry out, if it is in; not its successor of a later life."""
        queued = self._entries.get(handle.command_id)
        if queued is not None and queued.owner is handle.owner:
            del self._entries[handle.command_id]
            self._expiring.pop(handle.command_id, None)

    def head(self) -> DeliveryHandle | None:
        """Return who is next, None if nobody waits."""
        while self._entries:
            handle = next(iter(self._entries.values()))
            if is_waiting(handle):
                return handle
            self.remove(handle)
        return None

    def drop_gone(self) -> None:
        """Take out whoever waits no more."""
        for handle in self:
            if not is_waiting(handle):
                self.remove(handle)

    def take_expired(self, now: datetime) -> list[DeliveryHandle]:
        """Take out and return what is too late to begin."""
        expired = [
            handle
            for handle in self._expiring.values()
            if (delivery := handle.delivery) is not None and is_expired(delivery, now)
        ]
        for handle in expired:
            self.remove(handle)
        return expired

    def soonest_expiry(self) -> datetime | None:
        """Return when the first of them expires, None if none does."""
        waiting = (handle.delivery for handle in self._expiring.values())
        return soonest_expiry(each for each in waiting if each is not None)


def is_waiting(handle: DeliveryHandle) -> bool:
    """Whether an entry may still be started here."""
    delivery = handle.delivery
    if delivery is None or handle.owner.is_draining:
        return False
    return delivery.state.is_startable
