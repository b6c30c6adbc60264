"""
Who asks: a bounded number, each of whom takes the next that is due when done with one.

What is due stands in one heap (`schedule`). A loop hands over what becomes due while
somebody has nothing to do; while all are busy it has nothing to wake up for.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from jetworker.runtime.clock import Clock, wait
from jetworker.worker.following.schedule import Schedule, Scheduled

_AT_ONCE = 128  # each may wait for answers from far away, and for a commit
_TURN = 1.0  # seconds; the loop turns so often at least

_T = TypeVar("_T", bound=Scheduled)


class Askers(Generic[_T]):
    """
    Ask about what is due, which *ask* does without ever raising; times are monotonic.

    What becomes due within *tick* seconds is handed over at once.
    """

    def __init__(
        self, ask: Callable[[_T], Awaitable[None]], tick: float, clock: Clock
    ) -> None:
        self._ask = ask
        self._tick = tick
        self._clock = clock
        self._schedule: Schedule[_T] = Schedule()
        self._wake = asyncio.Event()
        self._sleeps_until = float("-inf")
        self._idle: deque[asyncio.Future[_T]] = deque()
        self._number = 0

    @property
    def busy(self) -> int:
        """How many questions are on their way."""
        return self._number - len(self._idle)

    def put(self, due: _T, at: float) -> None:
        """Ask about it *at* a time, and at no other."""
        self._schedule.put(due, at)
        if self._has_room():
            self._rouse(at)

    def take_out(self, due: _T) -> None:
        """Ask about it at no time."""
        self._schedule.take_out(due)

    async def run(self, turn: Callable[[], None]) -> None:
        """Hand over what is due, for ever; each *turn* of it is told."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                turn()
                self._wake.clear()
                self._sleeps_until = float("-inf")
                self._hand_over(tasks)
                now = self._clock.monotonic()
                soonest = max(now + self._tick, self._next_at())
                self._sleeps_until = min(now + _TURN, soonest)
                await wait(self._wake, self._sleeps_until - now)

    def _hand_over(self, tasks: asyncio.TaskGroup) -> None:
        """Give what is due to those who have nothing to do."""
        now = self._clock.monotonic()
        while self._has_room() and (due := self._schedule.pop(now)) is not None:
            if self._idle:
                self._idle.popleft().set_result(due)
            else:
                self._number += 1
                tasks.create_task(self._ask_on(due))

    def _has_room(self) -> bool:
        return bool(self._idle) or self._number < _AT_ONCE

    def _next_at(self) -> float:
        """Return when there is something to hand over; who is busy takes it himself."""
        return self._schedule.next_at if self._has_room() else float("inf")

    async def _ask_on(self, due: _T) -> None:
        """Ask one question after the other, for ever."""
        while True:
            await self._ask(due)
            following = self._schedule.pop(self._clock.monotonic())
            due = await self._rest() if following is None else following

    async def _rest(self) -> _T:
        """Wait until something is due that nobody else takes."""
        turn: asyncio.Future[_T] = asyncio.get_running_loop().create_future()
        self._idle.append(turn)
        self._rouse(self._schedule.next_at)
        return await turn

    def _rouse(self, at: float) -> None:
        if at < self._sleeps_until:
            self._wake.set()
