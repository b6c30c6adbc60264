"""Waits of the tests: a condition, and a deadline."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

_SHORTEST, _LONGEST = 0.02, 0.16  # a look takes from what is waited for
PATIENCE = 240.0  # a bound against a hang: a machine may have other things to do


async def until(claim: Callable[[], Any], what: str, seconds: float = PATIENCE) -> None:
    """Wait for a condition, and say which one never came."""
    deadline = asyncio.get_running_loop().time() + seconds
    pause = _SHORTEST
    while True:
        found = claim()
        if isinstance(found, Awaitable):
            found = await found
        if found:
            return
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"never happened: {what}")
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST)


async def shown_within(
    seconds: Sequence[int], missing: Callable[[int], Awaitable[str]]
) -> None:
    """
    Try with the first of *seconds*, and with longer ones as long as something is missing.

    For what one time must outlast another: a busy machine adds to one of the two.
    """
    said = ""
    for each in seconds:
        said = await missing(each)
        if not said:
            return
    raise AssertionError(f"not even with {seconds[-1]} s: {said}")
