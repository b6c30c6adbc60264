"""One heap for everything that is asked for at its time."""

import heapq
from typing import Generic, Protocol, TypeVar


class Scheduled(Protocol):
    """
    Something that is due at a time (monotonic seconds).

    *queued_for* is where it stands in the heap, never later than *due*; None if nowhere.
    """

    due: float
    queued_for: float | None


_T = TypeVar("_T", bound=Scheduled)


class Schedule(Generic[_T]):
    """
    What is due when.

    What is put off stays where it is until that time comes, and is then put where it
    belongs: to put off costs nothing, however often it is done.
    """

    def __init__(self) -> None:
        self._entries: list[tuple[float, int, _T]] = []
        self._ticket = 0

    @property
    def next_at(self) -> float:
        """When there is something to look at next, infinity if there is nothing."""
        return self._entries[0][0] if self._entries else float("inf")

    @property
    def entries_made(self) -> int:
        """How many places in the heap were ever taken."""
        return self._ticket

    def put(self, each: _T, at: float) -> None:
        """Let it be due *at*, and at no other time."""
        each.due = at
        if each.queued_for is None or at < each.queued_for:
            self._push(each)

    def pop(self, now: float) -> _T | None:
        """Return one that is due, and take it out."""
        while self._entries and self._entries[0][0] <= now:
            at, _, each = heapq.heappop(self._entries)
            if each.queued_for != at:
                continue  # it was due sooner, or taken out
            each.queued_for = None
            if each.due <= now:
                return each
            self._push(each)  # put off since
        return None

    @staticmethod
    def take_out(each: _T) -> None:
        """Let it not be due at all."""
        each.queued_for = None

    def _push(self, each: _T) -> None:
        self._ticket += 1
        each.queued_for = each.due
        heapq.heappush(self._entries, (each.due, self._ticket, each))
