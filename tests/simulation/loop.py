"""
An event loop in which waiting takes no time: the clock jumps to what comes next.

Nearly all that a run costs passes through here. So this has its own queues: asyncio's
mind sockets, threads and debugging, and compare timers in Python.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from functools import partial
from heapq import heapify, heappop, heappush
from typing import Any

from typing_extensions import override

from tests.simulation.node import current, frozen

_RESOLUTION = 1e-9
_MANY = 100  # timers, most of them cancelled: it is time to throw these out


class Deadlock(AssertionError):
    """Nothing will ever happen again, and somebody still waits."""


class Call:
    """What runs as soon as it can; its node is its context's."""

    __slots__ = ("args", "callback", "context", "is_cancelled")

    def __init__(
        self,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: Context | None,
    ) -> None:
        if context is None:  # an empty one is false, and means nobody's
            context = copy_context()
        self.callback = callback
        self.args = args
        self.context = context
        self.is_cancelled = False

    def cancel(self) -> None:
        """Do not run."""
        self.is_cancelled = True

    def cancelled(self) -> bool:
        """Whether it does not run."""
        return self.is_cancelled


class Timer(Call):
    """What runs at *at*, in seconds since the run began."""

    __slots__ = ("_loop", "at", "is_due")

    def __init__(
        self,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: Context | None,
        at: float,
        loop: "VirtualLoop",
    ) -> None:
        self.callback = callback  # what its base does, without another call
        self.args = args
        self.context = copy_context() if context is None else context
        self.is_cancelled = False
        self.at = at
        self.is_due = False
        self._loop = loop

    @override
    def cancel(self) -> None:
        """Do not run; it lies about until it is met, or thrown out with many."""
        if not self.is_cancelled and not self.is_due:
            self._loop.cancelled_timers += 1
        self.is_cancelled = True

    def when(self) -> float:
        """Return the moment."""
        return self.at

    def __lt__(self, _other: "Timer") -> bool:
        """Of two for one moment, neither is before the other."""
        return False


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs what is ready, then moves its own time to the next timer."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._ready: deque[Call] = deque()
        self._timers: list[tuple[float, Timer]] = []
        self._stopping: bool
        self.cancelled_timers = 0
        self.set_task_factory(_adopt)  # type: ignore[arg-type]  # typeshed wants generics

    @override
    def time(self) -> float:
        """Return the virtual time, in seconds since the run began."""
        return self._now

    @override
    def call_soon(  # type: ignore[override]  # ours is less strict about *args
        self,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> Call:
        """Run a callback after what is ready already."""
        call = Call(callback, args, context)
        self._ready.append(call)
        return call

    call_soon_threadsafe = call_soon  # type: ignore[assignment]  # there is one thread

    @override
    def call_later(  # type: ignore[override]  # ours is less strict about *args
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> Timer:
        """Run a callback after so many seconds."""
        when = self._now + delay
        timer = Timer(callback, args, context, when, self)
        heappush(self._timers, (when, timer))
        return timer

    @override
    def call_at(  # type: ignore[override]  # ours is less strict about *args
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> Timer:
        """Run a callback at a moment."""
        timer = Timer(callback, args, context, when, self)
        heappush(self._timers, (when, timer))
        return timer

    def _run_once(self) -> None:
        """Run what is ready, and let time pass where nothing is, until told to stop."""
        ready, timers = self._ready, self._timers
        while not self._stopping:
            if timers:
                self._forget_cancelled()
            if not ready:
                self._pass()
            due = self._now + _RESOLUTION
            while timers and timers[0][0] < due:
                timer = heappop(timers)[1]
                timer.is_due = True
                ready.append(timer)
            for _ in range(len(ready)):  # what they make ready is for the next time
                call = ready.popleft()
                if not call.is_cancelled and not (frozen and self._defer(call)):
                    call.context.run(call.callback, *call.args)

    def _pass(self) -> None:
        """Let time pass until the next timer."""
        if not self._timers:
            msg = "every task waits for another"
            raise Deadlock(msg)
        self._now += max(0.0, self._timers[0][0] - self._now)

    def _defer(self, call: Call) -> bool:
        """Keep a call for later if its node is frozen; returns whether it is."""
        node = call.context.get(current)
        if node is None or not node.is_frozen:
            return False
        node.defer(partial(self._ready.append, call))
        return True

    def _forget_cancelled(self) -> None:
        timers = self._timers
        if len(timers) > _MANY and self.cancelled_timers * 2 > len(timers):
            timers[:] = [each for each in timers if not each[1].is_cancelled]
            heapify(timers)
            self.cancelled_timers = 0
        while timers and timers[0][1].is_cancelled:
            heappop(timers)
            self.cancelled_timers -= 1


def _adopt(
    loop: asyncio.AbstractEventLoop,
    coro: Coroutine[Any, Any, Any],
    **options: Any,
) -> "asyncio.Task[Any]":
    """Make a task that belongs to the node whose code made it."""
    task = asyncio.Task(coro, loop=loop, **options)
    node = current.get()
    if node is not None:
        node.own(task)
    return task


def run(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run *main* to its end in a loop of its own."""
    frozen.clear()
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())
