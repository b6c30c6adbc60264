"""The starts that are on their way: a drain waits until there are none."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Sending:
    """Counts the starts in flight of one partition."""

    def __init__(self) -> None:
        self._number = 0
        self._quiet = asyncio.Event()
        self._quiet.set()

    @contextmanager
    def one(self) -> Iterator[None]:
        """Count one start in, and out in the end."""
        self._number += 1
        self._quiet.clear()
        try:
            yield
        finally:
            self._number -= 1
            if not self._number:
                self._quiet.set()

    async def none(self) -> None:
        """Wait until no start is in flight."""
        await self._quiet.wait()
