"""A program in a pseudo-terminal: what a person at a keyboard sees."""

import asyncio
import os
import pty
import re
import struct
import termios
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fcntl import ioctl

from tests.support.waiting import PATIENCE

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
    *,
    typed: str | None = None,
    drawn: Callable[[str], None] = lambda _text: None,
) -> Seen:
    """
    Run a program with a terminal for its stdout and stderr, to its end.

    What is *typed* is typed before it asks, as a terminal lets one; then it has a
    terminal for its stdin too. *drawn* is called with all that was drawn so far.
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
    loop = asyncio.get_running_loop()

    def tell(text: bytes) -> None:
        # A piece may end in the midst of a character.
        loop.call_soon_threadsafe(drawn, _plain(text.decode(errors="replace")))

    reading = asyncio.create_task(asyncio.to_thread(_read, ours, tell))
    try:
        code = await asyncio.wait_for(process.wait(), PATIENCE)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    finally:
        text = await reading
        os.close(ours)
    return Seen(code, _plain(text.decode()))


def _plain(text: str) -> str:
    """Return what was drawn without what moves the cursor."""
    return re.sub(r"[\r\n]+", "\n", _CONTROL.sub("", text))


def _read(terminal: int, tell: Callable[[bytes], None]) -> bytes:
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
        tell(drawn)
