"""A simulated process: it can be killed at any call, and frozen between two of them."""

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from random import Random
from typing import Any, TypeVar

_T = TypeVar("_T")

current: ContextVar["Node | None"] = ContextVar("node", default=None)


class Node:
    """
    One worker process.

    Whatever it does to the world goes through `call`: there the chance decides whether
    the process dies before it, dies (or is frozen) after it was done but before it
    knew, or lives: *fate* is told each label and answers "before", "after", "frozen"
    or None. *skew* is by how many seconds its wall clock is wrong.
    """

    def __init__(
        self, name: str, luck: Random, fate: Callable[["Node", str], str | None]
    ) -> None:
        self.name = name
        self.luck = luck
        self.is_dead = False
        self._fate = fate
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self._thawed = asyncio.Event()
        self._thawed.set()
        self.alive_at = 0.0
        self.skew = 0.0

    @property
    def is_frozen(self) -> bool:
        """Whether it is stopped, and will go on without knowing it."""
        return not self._thawed.is_set()

    @property
    def is_responsive(self) -> bool:
        """Whether it would answer a heartbeat."""
        return not self.is_dead and not self.is_frozen

    def own(self, task: "asyncio.Task[Any]") -> None:
        """Take note of a task of this process: it ends with it."""
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._tasks.pop(done, None))

    async def gate(self) -> None:
        """Pass only while this process is running."""
        while True:
            if self.is_dead:
                raise asyncio.CancelledError
            if not self.is_frozen:
                return
            await self._thawed.wait()

    async def call(self, label: str, apply: Callable[[], _T]) -> _T:
        """Do something to the world, as a process does that may die at any time."""
        await self.gate()
        fate = self._fate(self, label)
        if fate == "before":
            self.kill()
        await asyncio.sleep(self.latency())
        await self.gate()
        done = apply()
        if fate == "after":
            self.kill()
        if fate == "frozen":
            self.freeze()
        await asyncio.sleep(self.latency())
        await self.gate()
        return done

    def latency(self) -> float:
        """Return a short time for a way, mostly milliseconds, now and then a second."""
        if self.luck.random() < 0.005:
            return self.luck.uniform(0.1, 1.0)
        return self.luck.uniform(0.0005, 0.01)

    def kill(self) -> None:
        """SIGKILL: nothing of it does anything any more."""
        if self.is_dead:
            return
        self.is_dead = True
        self._thawed.set()
        token = current.set(None)
        reaper = asyncio.get_running_loop().create_task(self._reap())
        current.reset(token)
        reaper.add_done_callback(lambda _: None)

    def freeze(self) -> None:
        """SIGSTOP."""
        self._thawed.clear()

    def thaw(self) -> None:
        """SIGCONT."""
        self._thawed.set()

    async def _reap(self) -> None:
        while self._tasks:
            for task in list(self._tasks):
                task.cancel()
            await asyncio.sleep(0)
