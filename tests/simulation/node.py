"""A simulated process: it can be killed at any call, and frozen between two of them."""

import asyncio
from collections.abc import Callable
from contextvars import Context, ContextVar
from random import Random
from typing import Any, TypeVar

_T = TypeVar("_T")

_MANY = 50  # tasks: it is time to forget those that are done

current: ContextVar["Node | None"] = ContextVar("node", default=None)
frozen: set["Node"] = set()  # of one run: the loop looks only where there is one


class Node:
    """
    One worker process.

    Whatever it does to the world goes through `call`: there the chance decides whether
    the process dies before it, dies (or is frozen) after it was done but before it
    knew, dies while it is still on its way, is frozen at the last moment before it, or
    lives: *fate* is told each label and answers "before", "after", "frozen", "late",
    "asleep" or None. The loop runs no callback of its own while it *is_frozen*: it
    defers them. It is silent since *silent_at* when it does not answer; who is in
    *falls_silent* is told. What chance freezes goes on by *thaws_at*: what arrives later
    finds it running. *skew* is by how many seconds its wall clock is wrong.
    """

    def __init__(
        self, name: str, luck: Random, fate: Callable[["Node", str], str | None]
    ) -> None:
        self.name = name
        self.luck = luck
        self.is_dead = False
        self.is_frozen = False
        self._fate = fate
        self._tasks: list[asyncio.Task[Any]] = []
        self._many = _MANY
        self._thawed = asyncio.Event()
        self._deferred: list[Callable[[], None]] = []
        self.silent_at = 0.0
        self.falls_silent: list[Callable[[], None]] = []
        self.thaws_at = 0.0
        self.skew = 0.0
        self.is_prompt = False

    @property
    def is_responsive(self) -> bool:
        """Whether it would answer a heartbeat."""
        return not self.is_dead and not self.is_frozen

    def own(self, task: "asyncio.Task[Any]") -> None:
        """Take note of a task of this process: it ends with it."""
        self._tasks.append(task)
        if len(self._tasks) > self._many:
            self._tasks = [each for each in self._tasks if not each.done()]
            self._many = 2 * len(self._tasks) + _MANY

    async def gate(self) -> None:
        """Pass only while this process is running."""
        while True:
            if self.is_dead:
                await self._end()
            if not self.is_frozen:
                return
            await self._thawed.wait()

    async def _end(self) -> None:
        """End the task that asks, as one that is cancelled: nobody goes on from here."""
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.get_running_loop().create_future()

    async def call(
        self,
        label: str,
        apply: Callable[[], _T],
        *,
        enter: Callable[[], None] | None = None,
        leave: Callable[[], None] | None = None,
        outlives: float = 4.0,
        takes: float | None = None,
    ) -> _T:
        """
        Do something to the world, as a process does that may die at any time.

        *enter* is called when there is a way, and *leave* when it is sent; both may raise,
        and between the two it may be frozen, or die. What was sent is on its way
        whether its sender is frozen or not, and even when it is dead: then for at
        most *outlives* seconds. It *takes* a moment, if nothing else is said.
        """
        if not self.is_responsive:
            await self.gate()
        if enter is not None:
            enter()
        fate = self._fate(self, label)
        if fate == "before":
            self.kill()
        if fate == "asleep":
            self.freeze()
            await asyncio.sleep(0)
        if not self.is_responsive:
            await self.gate()
        if leave is not None:
            leave()
        is_late = fate == "late"
        if is_late:
            delay = self.luck.choice((0.05, 0.5, outlives))
        else:
            delay = self.latency() if takes is None else takes
        answer = self._send(apply, delay, fate)
        if is_late:
            self.kill()
        done = await answer
        await asyncio.sleep(self.latency())
        if not self.is_responsive:
            await self.gate()
        return done

    def _send(
        self, apply: Callable[[], _T], delay: float, fate: str | None
    ) -> "asyncio.Future[_T]":
        """Let something arrive after a while, whatever becomes of its sender."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[_T] = loop.create_future()

        def arrive() -> None:
            try:
                done = apply()
            except Exception as exc:  # noqa: BLE001 -- it is the answer
                if not answer.cancelled():
                    answer.set_exception(exc)
                    answer.exception()  # retrieved: the sender may be dead
                return
            if fate == "after":
                self.kill()
            if fate == "frozen" and loop.time() < self.thaws_at:
                self.freeze()
            if not answer.cancelled():
                answer.set_result(done)

        loop.call_later(delay, arrive, context=Context())
        return answer

    def latency(self) -> float:
        """Return a short time for a way, mostly milliseconds, now and then a second."""
        draw = self.luck.random
        if not self.is_prompt and draw() < 0.005:
            return self.luck.uniform(0.1, 1.0)
        return 0.0005 + (0.01 - 0.0005) * draw()

    def kill(self) -> None:
        """SIGKILL: nothing of it does anything any more."""
        if self.is_dead:
            return
        self._fall_silent()
        self.is_dead = True
        self.thaw()
        token = current.set(None)
        reaper = asyncio.get_running_loop().create_task(self._reap())
        current.reset(token)
        reaper.add_done_callback(lambda _: None)

    def freeze(self) -> None:
        """SIGSTOP: it stands still, and will go on without knowing it."""
        self._fall_silent()
        self.is_frozen = True
        frozen.add(self)
        self._thawed.clear()

    def _fall_silent(self) -> None:
        """Answer no heartbeat from now on, unless it answered none already."""
        if self.is_responsive:
            self.silent_at = asyncio.get_running_loop().time()
            for tell in self.falls_silent:
                tell()

    def thaw(self) -> None:
        """SIGCONT: it goes on where it was, and finds that its timers are over."""
        self.is_frozen = False
        frozen.discard(self)
        self._thawed.set()
        deferred, self._deferred = self._deferred, []
        for run in deferred:
            run()

    def defer(self, run: Callable[[], None]) -> None:
        """Keep what was to run until it goes on."""
        self._deferred.append(run)

    async def _reap(self) -> None:
        while left := [each for each in self._tasks if not each.done()]:
            for task in left:
                task.cancel()
            await asyncio.sleep(0)
