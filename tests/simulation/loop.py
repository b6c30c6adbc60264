"""An event loop in which waiting takes no time: the clock jumps to what comes next."""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any

from typing_extensions import override

from tests.simulation.node import current

_RESOLUTION = 1e-9


class Deadlock(AssertionError):
    """Nothing will ever happen again, and somebody still waits."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs what is ready, then moves its own time to the next timer."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._selector = self
        self._clock_resolution = _RESOLUTION
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
    ) -> asyncio.Handle:
        """Let the node that a callback belongs to run it."""
        if context is None:  # an empty one is false, and means nobody's
            context = copy_context()
        node = context.get(current)
        if node is None:
            return super().call_soon(callback, *args, context=context)
        own: list[asyncio.Handle] = []
        own.append(
            super().call_soon(node.run, own, context, callback, *args, context=context)
        )
        return own[0]

    @override
    def call_at(  # type: ignore[override]  # ours is less strict about *args
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Let the node that a timer belongs to run it."""
        if context is None:  # an empty one is false, and means nobody's
            context = copy_context()
        node = context.get(current)
        if node is None:
            return super().call_at(when, callback, *args, context=context)
        own: list[asyncio.Handle] = []
        timer = super().call_at(
            when, node.run, own, context, callback, *args, context=context
        )
        own.append(timer)
        return timer

    def select(self, timeout: float | None) -> list[Any]:
        """Let the time pass that a selector would have waited."""
        if timeout is None:
            msg = "every task waits for another"
            raise Deadlock(msg)
        self._now += timeout
        return []

    def _process_events(self, _events: list[Any]) -> None:
        """There are no events but timers."""

    def _write_to_self(self) -> None:
        """Nobody has to be woken: there is one thread."""


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
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())
