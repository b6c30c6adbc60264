"""`jetworker watch`: progress bars on a terminal, NDJSON otherwise."""

import asyncio
import sys
from collections.abc import AsyncIterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from jetworker.cli.exit_codes import ENDS, OK
from jetworker.config.model import Config
from jetworker.core.delivery import State
from jetworker.core.finished import Finished
from jetworker.kafka.clients import bounded
from jetworker.kafka.reader import find, tail
from jetworker.wire.events import ReadEvent


async def watch(config: Config, command_id: str | None) -> int:
    """
    Follow events from now on; one command's to its end, all of them for ever.

    Listen first, then ask whether it has ended: no end falls in between.
    """
    listening = asyncio.Event()
    events = tail(config, command_id, listening)
    following = asyncio.create_task(_show(events, one=command_id is not None))
    try:
        if command_id is not None:
            await bounded(listening.wait(), "listening for events")
            found = await find(config, command_id)
            is_over = found is not None and isinstance(found.snapshot, Finished)
            if found is not None and is_over and not following.done():
                return _tell_ended(command_id, found.snapshot.state)
        return await following
    finally:
        following.cancel()


def _tell_ended(command_id: str, state: State) -> int:
    sys.stderr.write(
        f"jetworker: {command_id} has ended already, {state}:"
        " `jetworker explain` tells the rest\n"
    )
    return ENDS[f"delivery.{state}"]


async def _show(events: AsyncIterator[ReadEvent], *, one: bool) -> int:
    """Show events, of *one* command to its end; returns the exit code."""
    console = Console()
    if console.is_terminal:
        return await _draw(console, events, one=one)
    async for event in events:
        sys.stdout.write(event.value.decode() + "\n")
        sys.stdout.flush()
        if one and event.kind in ENDS:
            return ENDS[event.kind]
    return OK


async def _draw(
    console: Console, events: AsyncIterator[ReadEvent], *, one: bool
) -> int:
    bars: dict[str, TaskID] = {}
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[state]}"),
    )
    with Progress(*columns, console=console) as progress:
        async for event in events:
            if event.command_id is None or not event.kind.startswith("delivery."):
                continue
            if event.command_id not in bars:
                bars[event.command_id] = progress.add_task(event.command_id, state="")
            _move(progress, bars[event.command_id], event)
            if event.kind in ENDS:
                progress.stop_task(bars[event.command_id])
                if one:
                    return ENDS[event.kind]
    return OK


def _move(progress: Progress, bar: TaskID, event: ReadEvent) -> None:
    counts = event.data.get("progress") or {}
    reason = event.data.get("reason") or {}
    state = " ".join(filter(None, (event.data.get("state"), reason.get("code"))))
    progress.update(
        bar,
        total=(event.data.get("requested") or {}).get("bytes"),
        completed=counts.get("transferred", {}).get("bytes", 0),
        state=state,
    )
