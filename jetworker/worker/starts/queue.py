"""The deliveries of one route that wait to be started, in order."""

import heapq
from collections import OrderedDict
from collections.abc import Iterator
from datetime import datetime
from itertools import islice

from jetworker.core.command import CommandId
from jetworker.core.delivery import expiry
from jetworker.worker.handle import DeliveryHandle

_SPARE = 64  # that have gone may be kept


class StartQueue:
    """
    First come, first started; what ended, or whose partition went, drops out.

    However many wait, a turn costs the same: only the head is looked at, and what
    expires next. What has gone is let go of when it is most of what is kept to expire.
    """

    def __init__(self) -> None:
        self._entries: OrderedDict[CommandId, DeliveryHandle] = OrderedDict()
        self._new: dict[CommandId, DeliveryHandle] = {}
        self._expiring: list[tuple[datetime, int, DeliveryHandle]] = []
        self._ticket = 0

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._entries)

    def __iter__(self) -> Iterator[DeliveryHandle]:
        """Iterate over what waits now, whatever comes or goes meanwhile."""
        return iter(list(self._entries.values()))

    def put(self, handle: DeliveryHandle, *, first: bool = False) -> None:
        """Queue an entry that waits; one that is queued keeps its place."""
        known = self._entries.get(handle.command_id)
        self._entries[handle.command_id] = handle
        self._new[handle.command_id] = handle
        delivery = handle.delivery
        ends = expiry(delivery) if delivery is not None else None
        if ends is not None and known != handle:
            self._ticket += 1
            heapq.heappush(self._expiring, (ends, self._ticket, handle))
            self._tidy()
        if first:
            self._entries.move_to_end(handle.command_id, last=False)

    def remove(self, handle: DeliveryHandle) -> None:
        """Take an entry out, if it is in; not its successor of a later life."""
        if self._is_in(handle):
            del self._entries[handle.command_id]
            self._new.pop(handle.command_id, None)
            self._tidy()

    def head(self) -> DeliveryHandle | None:
        """Return who is next, None if nobody waits."""
        while self._entries:
            handle = next(iter(self._entries.values()))
            if is_waiting(handle):
                return handle
            self.remove(handle)
        return None

    def first(self, number: int) -> list[DeliveryHandle]:
        """Return the first that wait, so many at most; none of those that have ended."""
        found = islice(self._entries.values(), number)
        return [each for each in found if is_waiting(each)]

    def take_new(self) -> list[DeliveryHandle]:
        """Return who came since this was asked last."""
        new = list(self._new.values())
        self._new.clear()
        return new

    def take_expired(self, now: datetime) -> list[DeliveryHandle]:
        """Take out and return what is too late to begin."""
        expired: list[DeliveryHandle] = []
        while (ends := self.soonest_expiry()) is not None and ends <= now:
            _, _, handle = heapq.heappop(self._expiring)
            self.remove(handle)
            expired.append(handle)
        return expired

    def soonest_expiry(self) -> datetime | None:
        """Return when the first of them expires, None if none does."""
        while self._expiring:
            ends, _, handle = self._expiring[0]
            if self._entries.get(handle.command_id) == handle and _can_expire(handle):
                return ends
            heapq.heappop(self._expiring)  # started or gone meanwhile
        return None

    def _tidy(self) -> None:
        """Let go of what will not expire here, once that is more than what will."""
        if len(self._expiring) <= 2 * len(self._entries) + _SPARE:
            return
        queued = {
            each[2].command_id: each for each in self._expiring if self._is_in(each[2])
        }
        self._expiring = list(queued.values())
        heapq.heapify(self._expiring)

    def _is_in(self, handle: DeliveryHandle) -> bool:
        queued = self._entries.get(handle.command_id)
        return queued is not None and queued.owner is handle.owner


def _can_expire(handle: DeliveryHandle) -> bool:
    delivery = handle.delivery
    return delivery is not None and expiry(delivery) is not None


def is_waiting(handle: DeliveryHandle) -> bool:
    """Whether an entry may still be started here."""
    delivery = handle.delivery
    if delivery is None or handle.owner.is_draining:
        return False
    return delivery.state.is_startable
