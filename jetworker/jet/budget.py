"""
One budget for all calls of a worker: a token bucket, served by priority.

Within a priority the routes take turns, so that one busy route cannot starve another.
A Retry-After holds back every call of its operation.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Iterator
from enum import IntEnum

from jetworker.core.command import RouteName
from jetworker.core.errors import JetUnavailable
from jetworker.core.rate import Bucket
from jetworker.runtime.clock import Clock
from jetworker.runtime.metrics import Metrics

_FOR_THE_LAST = 5  # one turn in so many: a flood of starts must not blind us


class Priority(IntEnum):
    """Who goes first when the budget is short."""

    TOKEN = 0
    START = 1
    LOOKUP = 2
    ENDING = 3
    POLL = 4


_AFTER_STARTS = (Priority.POLL, Priority.ENDING, Priority.LOOKUP)
_FROM = {
    first: (*list(Priority)[first:], *list(Priority)[:first]) for first in Priority
}


class _Line:
    """The waiting calls of one priority: a queue for each route, served in turn."""

    def __init__(self) -> None:
        self._routes: OrderedDict[
            RouteName | None, deque[tuple[str, asyncio.Future[None]]]
        ] = OrderedDict()

    def put(
        self, route: RouteName | None, operation: str, turn: "asyncio.Future[None]"
    ) -> None:
        self._routes.setdefault(route, deque()).append((operation, turn))

    def pop(self, held: frozenset[str]) -> "asyncio.Future[None] | None":
        """Return whose turn it is, None if everybody is held back."""
        for route in list(self._routes):
            queue = self._routes[route]
            for gone in [each for each in queue if each[1].done()]:  # gave up waiting
                queue.remove(gone)
            found = next((each for each in queue if each[0] not in held), None)
            if not queue:
                del self._routes[route]
            if found is not None:
                queue.remove(found)
                self._routes.move_to_end(route)
                return found[1]
        return None

    def __len__(self) -> int:
        return sum(len(queue) for queue in self._routes.values())


class Budget:
    """Gives every call its turn."""

    def __init__(
        self,
        limit: float,
        clock: Clock,
        metrics: Metrics,
        *,
        shared: float | None = None,
    ) -> None:
        self._own_limit = limit
        self._shared = shared
        self._limit = limit
        self._clock = clock
        self._metrics = metrics
        self._bucket: Bucket | None = None
        self._lines = {priority: _Line() for priority in Priority}
        self._held: dict[str, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._turns = 0

    @property
    def rate(self) -> float:
        """Calls a second at present."""
        return self._bucket.rate if self._bucket else self._limit

    def share(self, part: float) -> None:
        """
        Take *part* (of 1) of what all workers may call together, if that is limited.

        Without a part nothing is called but for a token, once an hour: a worker that is
        spare must be ready when a part comes.
        """
        if self._shared is None:
            return
        self._limit = min(self._own_limit, self._shared * part)
        if self._limit and self._bucket is not None:
            now = self._clock.monotonic()
            self._bucket = self._bucket.limited(self._limit, now)
        self._serve()

    def hold(self, operation: str, seconds: float) -> None:
        """Hold back every call of *operation*, as Jet's Retry-After says."""
        until = self._clock.monotonic() + seconds
        self._held[operation] = max(until, self._held.get(operation, 0.0))

    def is_held(self, operation: str) -> bool:
        """Whether a call of *operation* would wait for a Retry-After to be over."""
        return operation in self._holding(self._clock.monotonic())

    def check(self, operation: str) -> None:
        """Raise JetUnavailable if a Retry-After came after a call's turn was given."""
        if self.is_held(operation):
            msg = f"Jet asked that {operation} be held back"
            raise JetUnavailable(msg)

    def slow(self) -> None:
        """Halve the rate: Jet said that it is too much."""
        now = self._clock.monotonic()
        if self._limit:
            self._bucket = self._refilled(now).slowed(now)

    async def wait_turn(
        self, operation: str, priority: Priority, route: RouteName | None = None
    ) -> None:
        """Wait for this call's turn."""
        began = self._clock.monotonic()
        if not self._takes_at_once(began):
            await self._wait_in_line(operation, priority, route)
        self._metrics.jet_budget_wait_seconds.observe(self._clock.monotonic() - began)

    def _takes_at_once(self, now: float) -> bool:
        """Take a token, if there is one and nobody waits or is held back."""
        if self._timer is not None or self._held or not self._limit:
            return False
        self._bucket = self._refilled(now)
        if self._bucket.tokens < 1:
            return False
        self._bucket = self._bucket.taken()
        return True

    async def _wait_in_line(
        self, operation: str, priority: Priority, route: RouteName | None
    ) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lines[priority].put(route, operation, turn)
        self._serve()
        try:
            await turn
        finally:
            self._serve()

    def _serve(self) -> None:
        """Give turns while there are tokens, then come back when there is one."""
        now = self._clock.monotonic()
        held = self._holding(now)
        if not self._limit:
            self._serve_tokens(held)
            return
        bucket = self._refilled(now)
        while bucket.tokens >= 1:
            turn = self._next(held)
            if turn is None:
                break
            turn.set_result(None)
            bucket = bucket.taken()
        self._bucket = bucket
        self._set_timer(now, bucket, held)

    def _serve_tokens(self, held: frozenset[str]) -> None:
        """Let only tokens be asked for; one that is held back is looked at again."""
        line = self._lines[Priority.TOKEN]
        while (turn := line.pop(held)) is not None:
            turn.set_result(None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if len(line):
            self._timer = asyncio.get_running_loop().call_later(1.0, self._serve)

    def _next(self, held: frozenset[str]) -> "asyncio.Future[None] | None":
        """
        Return whose turn it is; a few turns are for who would never be first.

        Each line after that of the starts has one of these, in turn: two that are
        never empty would leave nothing to those between them.
        """
        self._turns += 1
        few, rest = divmod(self._turns, _FOR_THE_LAST)
        first = _AFTER_STARTS[few % len(_AFTER_STARTS)] if rest == 0 else Priority.TOKEN
        for priority in _FROM[first]:
            turn = self._lines[priority].pop(held)
            if turn is not None:
                return turn
        return None

    def _set_timer(self, now: float, bucket: Bucket, held: frozenset[str]) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not any(len(line) for line in self._lines.values()):
            return
        waits = list(self._ends(held, now))
        waits.append(bucket.wait if bucket.tokens < 1 else 1.0)
        delay = max(0.001, min(waits))
        self._timer = asyncio.get_running_loop().call_later(delay, self._serve)

    def _ends(self, held: frozenset[str], now: float) -> Iterator[float]:
        for operation in held:
            yield self._held[operation] - now

    def _holding(self, now: float) -> frozenset[str]:
        for operation in [each for each, until in self._held.items() if until <= now]:
            del self._held[operation]
        return frozenset(self._held)

    def _refilled(self, now: float) -> Bucket:
        return (self._bucket or Bucket.full(self._limit, now)).refilled(now)
