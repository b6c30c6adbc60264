"""
The event loop of what runs for long: uvloop's where it is installed, else asyncio's.

It is the extra `uvloop`. Nothing hangs on it, neither what is done nor in which order.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


def factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Return what makes the loop."""
    try:
        import uvloop  # noqa: PLC0415 -- an extra
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def run(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine to its end and return its result, as `asyncio.run` does."""
    with asyncio.Runner(loop_factory=factory()) as runner:
        return runner.run(coroutine)


def name() -> str:
    """Return whose loop runs."""
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]
