"""One question for all who ask it at about the same time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

_AT_ONCE = 3  # questions on their way
Wish = TypeVar("Wish")
Answer = TypeVar("Answer")


class SingleFlight(Generic[Wish, Answer]):
    """
    Asks once for all who wait; a few questions may be on their way at once.

    An answer serves those who asked before its question began: what they did by then
    can be seen in it. Who asks later is in the next one.
    """

    def __init__(self, ask: Callable[[tuple[Wish, ...]], Awaitable[Answer]]) -> None:
        self._ask = ask
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._wishes: list[Wish] = []
        self._next: asyncio.Task[Answer] | None = None

    async def get(self, wish: Wish) -> Answer:
        """Return an answer that has *wish* in its question; raises what asking raises."""
        if self._next is None:
            self._next = asyncio.create_task(self._ask_next(), name="shared question")
            self._next.add_done_callback(_retrieve)
        self._wishes.append(wish)
        # Shielded: one caller's cancellation must not take the answer from the others.
        return await asyncio.shield(self._next)

    async def _ask_next(self) -> Answer:
        async with self._turn:
            wishes, self._wishes, self._next = tuple(self._wishes), [], None
            return await self._ask(wishes)


def _retrieve(task: "asyncio.Task[Answer]") -> None:
    """Take note of an error that nobody waits for any more."""
    if not task.cancelled():
        task.exception()
