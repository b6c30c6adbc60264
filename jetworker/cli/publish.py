"""Publishing commands from the command line, and following one to its answer or end."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError

from jetworker.cli import output, unanswered
from jetworker.cli.exit_codes import ENDS, FAILED, OK, REJECTED
from jetworker.cli.watch import Screen, heard_from_now_on, screen
from jetworker.config.model import Config
from jetworker.core.errors import InvalidRecord, JetworkerError, NotAllowed, StoreError
from jetworker.kafka.clients import bounded
from jetworker.kafka.reader import find, tail
from jetworker.kafka.sign_in import client_options
from jetworker.wire import commands
from jetworker.wire.events import ReadEvent
from jetworker.wire.printed import SentData
from jetworker.wire.record import Record
from jetworker.wire.units import counted


class MayBePublished(StoreError):
    """Kafka took some of the records, all or none: it did not say."""


@dataclass(frozen=True, slots=True)
class _Record:
    """A command as it is published; without *partition* its key decides where."""

    command_id: str
    value: bytes
    partition: int | None = None
    is_order: bool = False


def fields(
    route: str,
    objects: Sequence[dict[str, Any]],
    command_id: str | None,
    metadata: Any,
    expires_at: str | None,
) -> dict[str, Any]:
    """Return the fields of a send."""
    made: dict[str, Any] = {
        "commandId": command_id or str(uuid.uuid4()),
        "type": "send",
        "route": route,
        "objects": list(objects),
    }
    if metadata is not None:
        made["metadata"] = metadata
    if expires_at is not None:
        made["expiresAt"] = expires_at
    return made


def objects(
    paths: Sequence[str], sizes: Sequence[int], root: Path | None
) -> list[dict[str, Any]]:
    """
    Return what is to be sent; a path that ends in / is a folder.

    The *sizes* are those of the files, in their order; or they are read below *root*,
    where the source's files are seen from here. Raises JetworkerError.
    """
    made = [_object(path) for path in paths]
    files = [each for each in made if "isDirectory" not in each]
    if root is not None:
        sizes = [_size(root / each["relativePath"].lstrip("/")) for each in files]
    elif sizes and len(sizes) != len(files):
        given, wanted = counted(len(sizes), "size"), counted(len(files), "file")
        msg = f"--size: {given} for {wanted}: give one for each, in their order"
        raise JetworkerError(msg)
    for each, size in zip(files, sizes, strict=False):
        each["sizeInBytes"] = size
    return made


def _size(path: Path) -> int:
    try:
        if path.is_file():
            return path.stat().st_size
        msg = f"--stat: {path} is not a file"
    except OSError as exc:
        msg = f"--stat: {path}: {exc.strerror}"
    raise JetworkerError(msg)


async def send(
    config: Config, command: dict[str, Any], *, wait: bool, as_json: bool
) -> int:
    """Publish a send; with *wait*, follow it: 0 completed, 1 failed, 2 rejected."""
    value = _encode(config, command)
    if value is None:
        return REJECTED
    record = _Record(command["commandId"], value)
    if wait:
        with screen(as_json=as_json) as shown:
            return await _follow(config, record, shown)
    partition, offset = await _produce(config, record)
    if as_json:
        name = record.command_id
        where = SentData(command_id=name, partition=partition, offset=offset)
        output.document(where)
    else:
        output.say(record.command_id)
    return OK


async def order(config: Config, command: dict[str, Any], *, as_json: bool) -> int:
    """Publish a cancel or resolve where the command is, and return its answer."""
    value = _encode(config, command)
    if value is None:
        return REJECTED
    found = await find(config, command["commandId"])
    if found is None:
        output.remark("no command of this id is known")
        return REJECTED
    record = _Record(command["commandId"], value, found.partition, is_order=True)
    with screen(as_json=as_json) as shown:
        return await _follow(config, record, shown)


def _encode(config: Config, command: dict[str, Any]) -> bytes | None:
    """Return the command's bytes; None, and why on stderr, if it would be rejected."""
    try:
        value = commands.encode(command)
        commands.decode(value, (), max_objects=config.limits.max_objects)
    except InvalidRecord as exc:
        output.remark(f"{exc.reject.reason}: {exc.reject.message}")
        return None
    except orjson.JSONEncodeError as exc:
        output.remark(f"invalid_command: cannot be written as JSON: {exc}")
        return None
    return value


async def _follow(config: Config, record: _Record, shown: Screen) -> int:
    """Listen first, then publish, so that no answer is missed."""
    listening = asyncio.Event()
    sent: asyncio.Future[tuple[int, int]] = asyncio.get_running_loop().create_future()
    events = tail(config, record.command_id, listening)
    heard = asyncio.Event()
    listener = asyncio.create_task(
        _listen(events, sent, heard, shown, is_order=record.is_order)
    )
    doubting: asyncio.Task[None] | None = None
    try:
        await heard_from_now_on(listening, listener)
        where = await _produce(config, record)
        sent.set_result(where)
        doubting = asyncio.create_task(
            unanswered.say_why(config, lambda: () if heard.is_set() else (where,))
        )
        if not record.is_order:
            return await _to_its_end(listener, record.command_id)
        await asyncio.wait((listener,), timeout=unanswered.GIVEN_UP_AFTER)
        if listener.done():
            return listener.result()
        await unanswered.give_up(config, (where,))
        return FAILED
    finally:
        listener.cancel()
        if doubting is not None:
            doubting.cancel()


async def _to_its_end(listener: "asyncio.Task[int]", command_id: str) -> int:
    """Return how a send has ended; what breaks meanwhile takes nothing back."""
    try:
        return await listener
    except StoreError as exc:
        msg = (
            f"{exc}; {command_id} is published: jetworker watch {command_id} follows it"
            " further"
        )
        raise StoreError(msg) from exc


async def _listen(
    events: AsyncIterator[ReadEvent],
    sent: "asyncio.Future[tuple[int, int]]",
    heard: asyncio.Event,
    shown: Screen,
    *,
    is_order: bool,
) -> int:
    """Show events until one decides the exit code; of an order, its answer alone."""
    async for event in events:
        code = _code(event, await sent, is_order=is_order)
        if code is not None or not is_order:
            heard.set()
            shown.show(event)
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
    """
    Publish it; returns its partition and offset.

    Raises MayBePublished, which says how to repeat a send: an id that was made for it
    would not be made again. An order may be repeated as it is.
    """
    made = Record(
        config.topics.commands,
        record.command_id.encode(),
        record.value,
        partition=record.partition,
    )
    try:
        return (await publish_all(config, (made,)))[0]
    except MayBePublished as exc:
        if record.is_order:
            raise
        msg = (
            f"{exc}: {record.command_id} may be published: repeat it with --id"
            f" {record.command_id}, and it is delivered once"
        )
        raise MayBePublished(msg) from exc


async def publish_all(
    config: Config, records: Sequence[Record]
) -> list[tuple[int, int]]:
    """
    Publish records; returns the partition and the offset of each.

    Raises MayBePublished where Kafka did not answer for all of them, StoreError where
    nothing was published.
    """
    producer = AIOKafkaProducer(**client_options(config.kafka), acks="all")
    try:
        await bounded(producer.start(), "connecting")
        sent: list[asyncio.Future[Any]] = []
        try:
            for each in records:
                sending = producer.send(
                    each.topic, each.value, each.key, partition=each.partition
                )
                sent.append(await bounded(sending, "publishing"))
            told = [await bounded(each, "publishing") for each in sent]
        except StoreError as exc:
            if not sent or (len(records) == 1 and _is_refusal(exc)):
                raise
            raise MayBePublished(str(exc)) from exc
    finally:
        await producer.stop()
    return [(each.partition, each.offset) for each in told]


def _object(path: str) -> dict[str, Any]:
    absolute = path if path.startswith("/") else f"/{path}"
    if absolute.endswith("/"):
        return {"relativePath": absolute.rstrip("/") or "/", "isDirectory": True}
    return {"relativePath": absolute}


def _is_refusal(exc: StoreError) -> bool:
    """Whether Kafka said that it does not take a record, and did not."""
    return isinstance(exc, NotAllowed) or isinstance(
        exc.__cause__, MessageSizeTooLargeError
    )
