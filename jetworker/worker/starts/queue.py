"""The deliveries of one route that wait to be started, in order."""

from collections import OrderedDict
from collections.abc import Iterator
from datetime import datetime

from jetworker.core.command import CommandId
from jetworker.core.expiry import expiry, is_expired, soonest_expiry
from jetworker.worker.handle import Entry


class Queue:
    """
    First come, first started; what ended, or whose partition went, drops out.

    Thousands may wait: only the head, and what can expire, is looked at every time.
    """

    def __init__(self) -> None:
        self._entries: OrderedDict[CommandId, Entry] = OrderedDict()
        self._expiring: dict[CommandId, Entry] = {}

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        """Iterate over what waits now, whatever comes or goes meanwhile."""
        return iter(list(self._entries.values()))

    def put(self, entry: Entry, *, first: bool = False) -> None:
        """Queue an entry that waits; one that is queued keeps its place."""
        self._entries[entry.command_id] = entry
        delivery = entry.delivery
        if delivery is not None and expiry(delivery) is not None:
            self._expiring[entry.command_id] = entry
        if first:
            self._entries.move_to_end(entry.command_id, last=False)

    def remove(self, entry: Entry) -> None:
        """Take an entry out, if it is in; not its successor of a later life."""
        queued = self._entries.get(entry.command_id)
        if queued is not None and queued.owner is entry.owner:
            del self._entries[entry.command_id]
            self._expiring.pop(entry.command_id, None)

    def head(self) -> Entry | None:
        """Return who is next, None if nobody waits."""
        while self._entries:
            entry = next(iter(self._entries.values()))
            if is_waiting(entry):
                return entry
            self.remove(entry)
        return None

    def drop_gone(self) -> None:
        """Take out whoever waits no more."""
        for entry in self:
            if not is_waiting(entry):
                self.remove(entry)

    def take_expired(self, now: datetime) -> list[Entry]:
        """Take out and return what is too late to begin."""
        expired = [
            entry
            for entry in self._expiring.values()
            if (delivery := entry.delivery) is not None and is_expired(delivery, now)
        ]
        for entry in expired:
            self.remove(entry)
        return expired

    def soonest_expiry(self) -> datetime | None:
        """Return when the first of them expires, None if none does."""
        waiting = (entry.delivery for entry in self._expiring.values())
        return soonest_expiry(each for each in waiting if each is not None)


def is_waiting(entry: Entry) -> bool:
    """Whether an entry may still be started here."""
    delivery = entry.delivery
    if delivery is None or entry.owner.is_draining:
        return False
    return delivery.state.is_startable
