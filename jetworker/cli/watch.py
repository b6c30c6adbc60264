"""`jetworker watch`: progress bars on a terminal, NDJSON otherwise."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Protocol, Self

from rich.filesize import decimal
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from jetworker.cli import output
from jetworker.cli.exit_codes import ENDS, FAILED, OK
from jetworker.config.model import Config
from jetworker.core.delivery import State
from jetworker.core.finished import Finished
from jetworker.kafka.clients import bounded
from jetworker.kafka.reader import Place, find, tail
from jetworker.wire.events import ReadEvent


async def watch(config: Config, command_id: str | None, *, as_json: bool) -> int:
    """
    Follow events from now on; one command's to its end, all of them for ever.

    Listen first, then ask what is known: no end falls in between. An id that the state
    topic does not know, and that nothing was told of meanwhile, is said to be unknown:
    waiting for it could last for ever.
    """
    listening = asyncio.Event()
    events = _Heard(tail(config, command_id, listening))
    with screen(as_json=as_json) as shown:
        following = asyncio.create_task(_follow(events, shown, command_id))
        try:
            if command_id is not None:
                await heard_from_now_on(listening, following)
                found = await find(config, command_id)
                if found is None and not events.any:
                    return tell_unknown(config, command_id)
                known = found.snapshot if isinstance(found, Place) else None
                if isinstance(known, Finished) and not following.done():
                    return _tell_ended(command_id, known.state)
            return await following
        finally:
            following.cancel()


async def heard_from_now_on(
    listening: asyncio.Event, listener: "asyncio.Task[Any]"
) -> None:
    """Wait until no event can be missed; raises what has ended the *listener* before."""
    waiting = asyncio.create_task(listening.wait())
    either = asyncio.wait((waiting, listener), return_when=asyncio.FIRST_COMPLETED)
    try:
        await bounded(either, "listening for events")
    finally:
        waiting.cancel()
    if not listening.is_set():
        await listener


def tell_unknown(config: Config, command_id: str) -> int:
    """Say that no command of this id is known, and why that may be."""
    days = config.dedupe_window / timedelta(days=1)
    output.remark(
        f"{command_id} is not known: no worker has accepted it, or it ended more than"
        f" {days:g} days ago"
    )
    return FAILED


def _tell_ended(command_id: str, state: State) -> int:
    output.remark(
        f"{command_id} has ended already, {state}: `jetworker explain` tells the rest"
    )
    return ENDS[f"delivery.{state}"]


class _Heard:
    """Events as they come, and whether any came."""

    def __init__(self, events: AsyncIterator[ReadEvent]) -> None:
        self._events = events
        self.any = False

    async def __aiter__(self) -> AsyncIterator[ReadEvent]:
        """Yield them."""
        async for event in self._events:
            self.any = True
            yield event


async def _follow(events: _Heard, shown: "Screen", command_id: str | None) -> int:
    """Show events, of one command to its end; returns the exit code."""
    async for event in events:
        shown.show(event)
        if command_id is not None and event.kind in ENDS:
            return ENDS[event.kind]
    return OK


class Screen(Protocol):
    """Where events are shown while they come."""

    def __enter__(self) -> Self:
        """Begin."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End, whatever happened."""
        ...

    def show(self, event: ReadEvent) -> None:
        """Show one."""
        ...


def screen(*, as_json: bool) -> Screen:
    """Return bars where stdout is a terminal, lines where it is not or is asked to be."""
    return _Lines() if as_json or not output.console().is_terminal else _Bars()


class _Lines:
    """NDJSON: each line is an event's value, unchanged."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, event: ReadEvent) -> None:
        output.verbatim(event.value.decode())


class _Bars:
    """
    A bar for each delivery, which moves by itself where its size is not known.

    What has ended leaves a sentence behind, and its bar goes.
    """

    def __init__(self) -> None:
        self._tasks: dict[str, TaskID] = {}
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[moved]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("{task.fields[state]}", markup=False),
            console=output.console(),
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, event: ReadEvent) -> None:
        last = sentence(event)
        if event.kind.startswith("delivery.") and event.command_id is not None:
            self._move(event.command_id, event.data, is_last=last is not None)
        if last is not None:
            self._progress.console.print(output.plain(last), soft_wrap=True)

    def _move(self, command_id: str, data: dict[str, Any], *, is_last: bool) -> None:
        if is_last:
            if command_id in self._tasks:
                self._progress.remove_task(self._tasks.pop(command_id))
                self._progress.refresh()  # or the sentence is printed above the bar
            return
        if command_id not in self._tasks:
            # Without *total* here it is 100, whatever comes later.
            self._tasks[command_id] = self._progress.add_task(
                command_id, total=None, moved="", state=""
            )
        total, moved = _total(data), _moved(data)
        of_all = f" of {decimal(total)}" if total else ""
        reason = data.get("reason") or {}
        self._progress.update(
            self._tasks[command_id],
            total=total,
            completed=moved,
            moved=f"{decimal(moved)}{of_all}",
            state=" ".join(filter(None, (data.get("state"), reason.get("code")))),
        )


def _total(data: dict[str, Any]) -> int | None:
    """Return how many bytes there are; None if that is not known, or known wrong."""
    total = (data.get("requested") or {}).get("bytes")
    return total if total and total >= _moved(data) else None


def _moved(data: dict[str, Any]) -> int:
    counts = data.get("progress") or {}
    return int((counts.get("transferred") or {}).get("bytes", 0))


def sentence(event: ReadEvent) -> str | None:
    """Return what a person is told at the end; None where it is not the end."""
    data, name = event.data, event.command_id or "a record without a readable id"
    reason = data.get("reason") or {}
    why = f" ({reason.get('code')}): {reason.get('message')}" if reason else ""
    match event.kind:
        case "delivery.completed":
            return f"{name} completed: {_sum(data)}"
        case "delivery.failed":
            return f"{name} failed{why}"
        case "delivery.cancelled":
            return f"{name} is cancelled, nothing was started"
        case "command.rejected":
            return f"{name} is rejected{why}"
        case "command.applied":
            what = data.get("action") or data.get("type")
            return f"{name}: {what} is carried out"
        case "command.duplicate":
            return (
                f"{name} came before and is {data.get('state')}: it is not sent twice"
            )
        case _:
            return None


def _sum(data: dict[str, Any]) -> str:
    counts = data.get("progress") or {}
    objects = int((counts.get("transferred") or {}).get("count", 0))
    skipped = int((counts.get("skipped") or {}).get("count", 0))
    told = f"{objects} object{'' if objects == 1 else 's'}, {decimal(_moved(data))}"
    rest = f", {skipped} skipped" if skipped else ""
    return f"{told}{rest}{_took(data)}"


def _took(data: dict[str, Any]) -> str:
    began, ended = data.get("startedAt"), data.get("finishedAt")
    if not isinstance(began, str) or not isinstance(ended, str):
        return ""
    took = datetime.fromisoformat(ended) - datetime.fromisoformat(began)
    seconds = max(0.0, took.total_seconds())
    return (
        f" in {timedelta(seconds=round(seconds))}"
        if seconds >= _MINUTE
        else (f" in {seconds:.1f} s")
    )


_MINUTE = 60
