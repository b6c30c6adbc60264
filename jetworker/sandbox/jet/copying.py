"""One file is copied: in pieces, at the job's pace, as long as it grows."""

import asyncio
import os
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from jetworker.sandbox.jet import folder
from jetworker.sandbox.jet.model import File, FileState, Job

_PIECE = 1 << 20
_PIECES_A_SECOND = 20  # a new bandwidth and a pause are felt within this

T = TypeVar("T")


class Pace:
    """Hands out bytes of one job's bandwidth, in the order they were asked for."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._turn = asyncio.Lock()

    async def take(self, wanted: int) -> int:
        """Wait for some of the wanted bytes; returns how many, at least 1."""
        await self._job.gate.passed()
        if self._job.tuning.bandwidth is None:
            return min(wanted, _PIECE)
        async with self._turn:
            bandwidth = self._job.tuning.bandwidth or _PIECE
            piece = max(1, min(wanted, _PIECE, bandwidth // _PIECES_A_SECOND))
            await asyncio.sleep(piece / bandwidth)
        await self._job.gate.passed()
        return piece


async def copy(file: File, job: Job, pace: Pace, key: str) -> None:
    """Copy one file; whatever the file system says against it is the file's failure."""
    try:
        source = folder.open_file(job.source.folder, file.path)
        try:
            file.size = os.fstat(source).st_size
            with folder.new_file(job.destination.folder, file.path, key) as target:
                await _pump(file, job, pace, source, target)
        finally:
            os.close(source)
    except OSError as exc:
        file.error = folder.explain(exc)
        file.copied = 0
        file.state = FileState.FAILED
    else:
        file.size = file.copied
        file.state = FileState.COMPLETED


async def _pump(file: File, job: Job, pace: Pace, source: int, target: int) -> None:
    idle = job.growing_idle_seconds
    await _copy_to(file, pace, source, target)
    if idle is None:
        return
    rested_since = job.gate.seconds
    while job.gate.seconds - rested_since < idle:
        await asyncio.sleep(job.tuning.growing_poll_seconds)
        await job.gate.passed()
        size = os.fstat(source).st_size
        if size > file.copied:
            file.size = size
            await _copy_to(file, pace, source, target)
            rested_since = job.gate.seconds


async def _copy_to(file: File, pace: Pace, source: int, target: int) -> None:
    """Copy up to the size as it is known: what is appended later is for growing files."""
    while (left := (file.size or 0) - file.copied) > 0:
        piece = await pace.take(left)
        written = await _in_thread(partial(_move, source, target, piece))
        if not written:
            return  # it has shrunk
        file.copied += written


def _move(source: int, target: int, size: int) -> int:
    data = os.read(source, size)
    view = memoryview(data)
    while view:
        view = view[os.write(target, view) :]
    return len(data)


async def _in_thread(function: Callable[[], T]) -> T:
    """Run in a thread; if cancelled, wait for it: the descriptors it uses get closed."""
    running = asyncio.ensure_future(asyncio.to_thread(function))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait({running})
        raise
