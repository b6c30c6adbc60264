"""Publishing commands from the command line, and following one to its answer or end."""

import asyncio
import sys
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaProducer

from jetworker.cli.exit_codes import ENDS, FAILED, OK, REJECTED
from jetworker.config.model import Config
from jetworker.core.errors import InvalidRecord
from jetworker.kafka.clients import bounded
from jetworker.kafka.reader import find, tail
from jetworker.wire import commands
from jetworker.wire.events import ReadEvent

_ANSWER_WITHIN = 60.0


@dataclass(frozen=True, slots=True)
class _Record:
    """A command as it is published; without *partition* its key decides where."""

    command_id: str
    value: bytes
    partition: int | None = None
    is_order: bool = False


def fields(
    route: str,
    paths: list[str],
    command_id: str | None,
    metadata: Any,
    expires_at: str | None,
) -> dict[str, Any]:
    """Return the fields of a send; a path that ends in / is a folder."""
    made: dict[str, Any] = {
        "commandId": command_id or str(uuid.uuid4()),
        "type": "send",
        "route": route,
        "objects": [_object(path) for path in paths],
    }
    if metadata is not None:
        made["metadata"] = metadata
    if expires_at is not None:
        made["expiresAt"] = expires_at
    return made


async def send(config: Config, command: dict[str, Any], *, wait: bool) -> int:
    """Publish a send; with *wait*, follow it: 0 completed, 1 failed, 2 rejected."""
    value = _encode(config, command)
    if value is None:
        return REJECTED
    record = _Record(command["commandId"], value)
    if wait:
        return await _follow(config, record)
    await _produce(config, record)
    _print(record.command_id)
    return OK


async def order(config: Config, command: dict[str, Any]) -> int:
    """Publish a cancel or resolve where the command is, and return its answer."""
    value = _encode(config, command)
    if value is None:
        return REJECTED
    found = await find(config, command["commandId"])
    if found is None:
        _say("no command of this id is known")
        return REJECTED
    record = _Record(command["commandId"], value, found.partition, is_order=True)
    try:
        async with asyncio.timeout(_ANSWER_WITHIN):
            return await _follow(config, record)
    except TimeoutError:
        _say(f"no answer within {_ANSWER_WITHIN:.0f} s: is a worker running?")
        return FAILED


def _encode(config: Config, command: dict[str, Any]) -> bytes | None:
    """Return the command's bytes; None, and why on stderr, if it would be rejected."""
    value = commands.encode(command)
    try:
        commands.decode(value, (), max_objects=config.limits.max_objects)
    except InvalidRecord as exc:
        _say(f"{exc.reject.reason}: {exc.reject.message}")
        return None
    return value


async def _follow(config: Config, record: _Record) -> int:
    """Listen first, then publish, so that no answer is missed."""
    listening = asyncio.Event()
    sent: asyncio.Future[tuple[int, int]] = asyncio.get_running_loop().create_future()
    events = tail(config, record.command_id, listening)
    listener = asyncio.create_task(_listen(events, sent, is_order=record.is_order))
    try:
        await bounded(listening.wait(), "listening for events")
        sent.set_result(await _produce(config, record))
        return await listener
    finally:
        listener.cancel()


async def _listen(
    events: AsyncIterator[ReadEvent],
    sent: "asyncio.Future[tuple[int, int]]",
    *,
    is_order: bool,
) -> int:
    """Print events until one decides the exit code."""
    async for event in events:
        code = _code(event, await sent, is_order=is_order)
        _print(event.value.decode())
        if code is not None:
            return code
    raise AssertionError


def _code(event: ReadEvent, where: tuple[int, int], *, is_order: bool) -> int | None:
    """Return the exit code that an event means, None to go on."""
    data = event.data
    ours = (data.get("partition"), data.get("offset")) == where
    match event.kind:
        case "command.rejected" if ours:
            return REJECTED
        case "command.applied" if ours:
            return OK
        case "command.duplicate" if ours:  # what has ended already tells no more
            return ENDS.get(f"delivery.{data.get('state')}")
        case kind if not is_order:
            return ENDS.get(kind)
        case _:
            return None


async def _produce(config: Config, record: _Record) -> tuple[int, int]:
    """Publish it; returns its partition and offset."""
    producer = AIOKafkaProducer(**config.kafka.client_options(), acks="all")
    try:
        await bounded(producer.start(), "connecting")
        sent = producer.send_and_wait(
            config.topics.commands,
            record.value,
            record.command_id.encode(),
            partition=record.partition,
        )
        metadata = await bounded(sent, "publishing")
    finally:
        await producer.stop()
    return metadata.partition, metadata.offset


def _object(path: str) -> dict[str, Any]:
    absolute = path if path.startswith("/") else f"/{path}"
    if absolute.endswith("/"):
        return {"relativePath": absolute.rstrip("/") or "/", "isDirectory": True}
    return {"relativePath": absolute}


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _say(text: str) -> None:
    sys.stderr.write(f"jetworker: {text}\n")
