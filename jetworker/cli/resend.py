"""`jetworker resend`: the objects of an ended command, as a new command."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import orjson

from jetworker.cli import output
from jetworker.cli.exit_codes import FAILED, OK, REJECTED
from jetworker.cli.jobs import jet_client
from jetworker.cli.publish import MayBePublished, publish_all
from jetworker.cli.watch import tell_unknown
from jetworker.config.model import Config
from jetworker.core.command import ObjectSpec, Send
from jetworker.core.delivery import Delivery
from jetworker.core.errors import InvalidRecord, JetworkerError
from jetworker.core.failed_names import PART_OF_FILES, failed_names
from jetworker.core.finished import Finished
from jetworker.jet.client import JetClient
from jetworker.kafka.clients import KafkaClients
from jetworker.kafka.reader import STABLE_END, Unreadable, places, read
from jetworker.wire import commands, times
from jetworker.wire.printed import ResendData, ResentData
from jetworker.wire.record import Record


class Unknown(JetworkerError):
    """No command of this id is known."""

    def __init__(self, command_id: str) -> None:
        super().__init__(f"{command_id} is not known")
        self.command_id = command_id


class NotResendable(JetworkerError):
    """A command of which nothing, or not the right objects, can be sent again."""


class RecordGone(JetworkerError):
    """Retention took the record that has the objects."""


@dataclass(frozen=True, slots=True)
class _Found:
    """What the commands topic holds of the commands that are asked for."""

    sends: Mapping[str, Send]
    ids: frozenset[str]


async def resend(
    config: Config,
    environ: Mapping[str, str],
    command_ids: Sequence[str],
    *,
    new_id: str | None,
    failed_only: bool,
    as_json: bool,
) -> int:
    """
    Publish ended commands again, each under a new id; none where one cannot be.

    1 if one is not known or retention took its record, 2 if one has not ended or Jet
    does not name all that failed of it.
    """
    if new_id is not None and len(set(command_ids)) > 1:
        output.remark("--id is for one command only")
        return REJECTED
    try:
        resent = await send_again(
            config, environ, command_ids, new_id=new_id, failed_only=failed_only
        )
    except Unknown as exc:
        return tell_unknown(config, exc.command_id)
    except RecordGone as exc:
        output.remark(str(exc))
        return FAILED
    except (NotResendable, InvalidRecord) as exc:
        output.remark(str(exc))
        return REJECTED
    if as_json:
        output.document(ResendData(resent=resent))
        return OK
    for one in resent:
        if one.expiry_left_out:
            output.remark(f"{one.command_id}: its expiresAt has passed and is left out")
        output.say(one.resent_as)
    return OK


async def send_again(
    config: Config,
    environ: Mapping[str, str],
    command_ids: Sequence[str],
    *,
    new_id: str | None = None,
    failed_only: bool,
) -> tuple[ResentData, ...]:
    """
    Publish ended commands again, each under a new id; none where one cannot be.

    Raises Unknown, RecordGone, NotResendable or InvalidRecord, StoreError and JetError.
    """
    known = await _read_state(config)
    ended = [_ended(known, each) for each in dict.fromkeys(command_ids)]
    found = await _find(config, ended)
    sends = [_record_of(config, found, each) for each in ended]
    if failed_only:
        sends = await _without_what_succeeded(config, environ, ended, sends)
    records, told = _records(config, sends, found.ids | known.ids, new_id)
    where = await _publish(config, records)
    return tuple(
        ResentData(**each, partition=partition, offset=offset)
        for each, (partition, offset) in zip(told, where, strict=True)
    )


@dataclass(frozen=True, slots=True)
class _Known:
    """What the state topic holds of every command."""

    snapshots: Mapping[str, Delivery | Finished]
    unreadable: Mapping[str, Unreadable]

    @property
    def ids(self) -> frozenset[str]:
        """The ids that are taken, read or not."""
        return frozenset(self.snapshots.keys() | self.unreadable.keys())


async def _read_state(config: Config) -> _Known:
    snapshots: dict[str, Delivery | Finished] = {}
    unreadable: dict[str, Unreadable] = {}
    for each in await places(config):
        if isinstance(each, Unreadable):
            unreadable[each.command_id] = each
        else:
            snapshots[each.snapshot.command_id] = each.snapshot
    return _Known(snapshots, unreadable)


def _ended(known: _Known, command_id: str) -> Finished:
    """Return what is kept of a command that has ended; raises Unknown, NotResendable."""
    match known.snapshots.get(command_id):
        case Finished() as finished:
            return finished
        case None if command_id in known.unreadable:
            raise NotResendable(known.unreadable[command_id].why)
        case None:
            raise Unknown(command_id)
        case _:
            msg = (
                f"{command_id} has not ended: `jetworker explain {command_id}` says what"
                " it waits for"
            )
            raise NotResendable(msg)


def _record_of(config: Config, found: _Found, ended: Finished) -> Send:
    """Return the command as its record has it; raises RecordGone."""
    send = found.sends.get(ended.command_id)
    if send is None:
        msg = (
            f"{ended.command_id}: its record is not in {config.topics.commands} any"
            " more, retention took it"
        )
        raise RecordGone(msg)
    return send


async def _without_what_succeeded(
    config: Config,
    environ: Mapping[str, str],
    ended: Sequence[Finished],
    sends: Sequence[Send],
) -> list[Send]:
    """Return the commands with only what Jet says has failed of each."""
    async with jet_client(config, environ) as jet:
        return [
            replace(send, objects=await _failed(jet, each, send))
            for each, send in zip(ended, sends, strict=True)
        ]


async def _find(config: Config, ended: Iterable[Finished]) -> _Found:
    """
    Read the commands topic once: the records that were accepted, and all ids in it.

    The fingerprint tells the accepted record from one with its id and other content.
    """
    kafka = KafkaClients(config.kafka, config.topics)
    wanted = {each.command_id: each.fingerprint for each in ended}
    sends: dict[str, Send] = {}
    ids: set[str] = set()
    async for batch in read(kafka, config.topics.commands, STABLE_END):
        for record in batch:
            command = _decoded(config, record)
            if command is None:
                continue
            ids.add(command.command_id)
            if command.fingerprint == wanted.get(command.command_id):
                sends[command.command_id] = command
    return _Found(sends, frozenset(ids))


async def _publish(config: Config, records: Sequence[Record]) -> list[tuple[int, int]]:
    """Publish the new commands; raises MayBePublished that names them, StoreError."""
    try:
        return await publish_all(config, records)
    except MayBePublished as exc:
        names = ", ".join((each.key or b"").decode() for each in records)
        msg = (
            f"{exc}: {names} may be published: look before you repeat it (jetworker"
            " explain), or repeat each with --id, which refuses one that is"
        )
        raise MayBePublished(msg) from exc


def _decoded(config: Config, record: Any) -> Send | None:
    headers = tuple(record.headers)
    try:
        most = config.limits.max_objects
        command = commands.decode(record.value, headers, max_objects=most)
    except InvalidRecord:
        return None
    return command if isinstance(command, Send) else None


def _records(
    config: Config,
    sends: Sequence[Send],
    taken: frozenset[str],
    new_id: str | None,
) -> tuple[list[Record], list[dict[str, Any]]]:
    """Make the records, and what is told of each; raises NotResendable, InvalidRecord."""
    records: list[Record] = []
    told: list[dict[str, Any]] = []
    if new_id is not None and new_id in taken:
        msg = (
            f"--id: {new_id} is taken already, nothing would be sent: `jetworker explain"
            f" {new_id}` says what became of it"
        )
        raise NotResendable(msg)
    used = set(taken)
    for command in sends:
        name = new_id or _next_id(command.command_id, used)
        used.add(name)
        fields, is_expired = _fields(command, name, datetime.now(UTC))
        value = commands.encode(fields)
        commands.decode(value, (), max_objects=config.limits.max_objects)
        records.append(Record(config.topics.commands, name.encode(), value))
        told.append(
            {
                "command_id": command.command_id,
                "resent_as": name,
                "objects": len(command.objects),
                "expiry_left_out": is_expired,
            }
        )
    return records, told


def _next_id(command_id: str, taken: set[str]) -> str:
    """Return the id with the next free number behind it."""
    number = 2
    while f"{command_id}-{number}" in taken:
        number += 1
    return f"{command_id}-{number}"


def _fields(command: Send, name: str, now: datetime) -> tuple[dict[str, Any], bool]:
    """Return the new command, and whether its expiry has passed and is left out."""
    is_expired = command.expires_at is not None and command.expires_at <= now
    fields: dict[str, Any] = {
        "commandId": name,
        "type": "send",
        "route": command.route,
        "objects": [_object(spec) for spec in command.objects],
    }
    if command.metadata is not None:
        fields["metadata"] = orjson.loads(command.metadata)
    if command.expires_at is not None and not is_expired:
        fields["expiresAt"] = times.encode(command.expires_at)
    return fields, is_expired


def _object(spec: ObjectSpec) -> dict[str, Any]:
    if spec.is_directory:
        return {"relativePath": spec.relative_path, "isDirectory": True}
    if spec.size is None:
        return {"relativePath": spec.relative_path}
    return {"relativePath": spec.relative_path, "sizeInBytes": spec.size}


async def _failed(
    jet: JetClient, finished: Finished, command: Send
) -> tuple[ObjectSpec, ...]:
    """
    Return what Jet's files say has failed; raises NotResendable if not all is named.

    How many failed is Jet's own count: of a delivery that was never started, all did.
    """
    name = finished.command_id
    if finished.job_id is None or finished.delivery_id is None:
        msg = f"{name} was never started: resend it without --failed-only"
        raise NotResendable(msg)
    delivery = await jet.get_delivery(finished.job_id, finished.delivery_id)
    files = await jet.list_files(finished.job_id)
    if not files.is_whole:
        msg = f"{name}: {PART_OF_FILES}: resend all without --failed-only"
        raise NotResendable(msg)
    paths = failed_names(command.objects, files.items, delivery.transfer_ids)
    count = delivery.progress.failed.count if delivery.progress else None
    if not paths or count is None or len(paths) != count:
        msg = (
            f"{name}: Jet says that {'?' if count is None else count} failed and names"
            f" {len(paths)} of them: resend all without --failed-only"
        )
        raise NotResendable(msg)
    sizes = {spec.relative_path: spec.size for spec in command.objects}
    return tuple(
        ObjectSpec(path, sizes.get(path), is_directory=False) for path in paths
    )
