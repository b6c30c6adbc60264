"""A program in a pseudo-terminal: what a person at a keyboard sees."""

import asyncio
import os
import pty
import re
import struct
import termios
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fcntl import ioctl

_COLUMNS, _ROWS = 160, 40
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True)
class Seen:
    """How it ended, and all that was drawn: each line of each frame, one after the other."""

    code: int
    text: str


async def see(
    arguments: Sequence[str],
    environ: Mapping[str, str],
    seconds: float = 60,
    *,
    typed: str | None = None,
) -> Seen:
    """
    Run a program with a terminal for its stdout and stderr, to its end.

    What is *typed* is typed before it asks, as a terminal lets one; then it has a
    terminal for its stdin too.
    """
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, _COLUMNS, 0, 0))
    process = await asyncio.create_subprocess_exec(
        *arguments,
        env={**environ, "TERM": "xterm"},
        stdin=None if typed is None else theirs,
        stdout=theirs,
        stderr=theirs,
    )
    if typed is not None:
        os.write(ours, typed.encode())
    os.close(theirs)
    reading = asyncio.create_task(asyncio.to_thread(_read, ours))
    try:
        code = await asyncio.wait_for(process.wait(), seconds)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    finally:
        drawn = await reading
        os.close(ours)
    text = _CONTROL.sub("", drawn.decode())
    return Seen(code, re.sub(r"[\r\n]+", "\n", text))


def _read(terminal: int) -> bytes:
    """Read until nobody holds the other end any more."""
    drawn = b""
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # Linux says EIO at the end
            return drawn
        if not piece:
            return drawn
        drawn += piece
