"""Ctrl-C: a command that is interrupted ends, whatever its libraries do with it."""

import asyncio
import signal
from collections.abc import Coroutine, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from jetworker.cli.exit_codes import INTERRUPTED, OK

_AGAIN = 2.0  # seconds


def run_until_interrupted(
    coroutine: Coroutine[Any, Any, int], *, has_end: bool = True
) -> int:
    """
    Run a command and return its exit code; Ctrl-C is how one without an end ends.

    Of one that has an end of its own it says that this was not reached, as shells do: who
    sends, waits and then removes what was sent must not take it for success.

    A cancellation that comes while a Kafka client is being opened or closed may be
    swallowed by it: the command went on as if nothing had been pressed. So it is
    repeated until everything has ended.
    """
    interrupted = INTERRUPTED if has_end else OK
    with suppress(KeyboardInterrupt):  # before there is a loop to take the signal
        return asyncio.run(_run(coroutine, interrupted))
    return interrupted


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C end a call that the loop waits for, as the reading of an answer is."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


async def _run(coroutine: Coroutine[Any, Any, int], interrupted_code: int) -> int:
    loop = asyncio.get_running_loop()
    interrupted = asyncio.Event()
    # A command that runs until it is stopped puts a handler of its own in its place.
    loop.add_signal_handler(signal.SIGINT, interrupted.set)
    working = asyncio.create_task(coroutine)
    waiting = asyncio.create_task(interrupted.wait())
    await asyncio.wait([working, waiting], return_when=asyncio.FIRST_COMPLETED)
    await _end({working})
    await _end(asyncio.all_tasks() - {asyncio.current_task()})
    return interrupted_code if working.cancelled() else working.result()


async def _end(tasks: "Iterable[asyncio.Task[Any] | None]") -> None:
    while left := [task for task in tasks if task is not None and not task.done()]:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=_AGAIN)
