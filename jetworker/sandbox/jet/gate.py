"""The pause of a job: what runs waits at the gate, and its clock stands still."""

import asyncio
from collections.abc import Callable


class Gate:
    """Open while the job is not paused; counts the seconds it was open."""

    def __init__(self, now: Callable[[], float], *, is_open: bool = True) -> None:
        self._now = now
        self._opened = asyncio.Event()
        self._since = now()
        self._before = 0.0
        if is_open:
            self._opened.set()

    @property
    def seconds(self) -> float:
        """The seconds that the gate has been open."""
        if not self._opened.is_set():
            return self._before
        return self._before + self._now() - self._since

    def open(self) -> None:
        """Let everything go on."""
        if not self._opened.is_set():
            self._since = self._now()
            self._opened.set()

    def close(self) -> None:
        """Hold everything back."""
        self._before = self.seconds
        self._opened.clear()

    async def passed(self) -> None:
        """Wait until the gate is open."""
        await self._opened.wait()
