"""`jetworker audit`: the guarantees, judged from a live system's topics."""

import asyncio
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, assert_never

import httpx

from jetworker.cli import output
from jetworker.cli.exit_codes import FAILED, OK
from jetworker.config.model import Config
from jetworker.core.answered import RecordKind
from jetworker.core.audit import (
    CommandRow,
    CreationRow,
    DeadLetterRow,
    EventRow,
    History,
    Invariant,
    Place,
    SnapshotRow,
    Verdict,
    judge,
    judge_creations,
)
from jetworker.core.command import Cancel, Resolve, Send
from jetworker.core.delivery import Delivery
from jetworker.core.errors import InvalidRecord, JetUnavailable
from jetworker.core.finished import Finished
from jetworker.core.resumption import Kept, Mark, Position, ReadAgain
from jetworker.kafka.clients import KafkaClients, bounded
from jetworker.kafka.group import offsets_of
from jetworker.kafka.reader import STABLE_END
from jetworker.kafka.reader import read as records_of
from jetworker.wire import commands, dead_letters, handing, positions, snapshots
from jetworker.wire.dead_letters import Letter
from jetworker.wire.events import read
from jetworker.wire.handing import HANDED
from jetworker.wire.printed import AuditData, InvariantData, ViolationData

_SHOWN = 20  # violations


async def audit(
    config: Config, seconds: float, sandbox: str | None = None, *, as_json: bool = False
) -> int:
    """
    Read the four topics and print what every invariant checked and found.

    Where Jet is a *sandbox* (its URL), its ledger is read too: what Jet really made.

    1 if something is violated, or if there was nothing to check it by: a pass that
    checked nothing shows nothing. So does a snapshot that this version cannot read.
    """
    kept = await history(config, seconds)
    verdict = judge(kept)
    if sandbox is not None:
        judge_creations(verdict, kept, await _ledger(sandbox))
    hidden = tuple(sorted(kept.unreadable))
    if as_json:
        output.document(_data(verdict, hidden))
    else:
        _print(verdict, hidden)
    return OK if _holds(verdict, hidden) else FAILED


async def history(config: Config, seconds: float = 0.0) -> History:
    """
    Read the four topics; raises StoreError.

    The offsets are asked for first, the topics *seconds* later: what was answered by
    then is there.
    """
    kafka, topics = KafkaClients(config.kafka, config.topics), config.topics
    offsets = await offsets_of(config)
    await asyncio.sleep(seconds)
    # The state is read before and after: what moved on in between is not judged.
    state = await _read(kafka, topics.state)
    commands = await _read(kafka, topics.commands)
    events = await _read(kafka, topics.events)
    dead_letters = await _read(kafka, topics.dead_letters)
    untold = await _taken_until(kafka, topics.events, events)
    unparked = await _taken_until(kafka, topics.dead_letters, dead_letters)
    later = await _read(kafka, topics.state)
    found = compose(state, commands, events, dead_letters, offsets, later)
    return replace(
        found,
        earlier=_earlier(commands, events),
        dedupe_window=config.dedupe_window,
        untold_until=untold,
        unparked_until=max(unparked.values(), default=0),
    )


async def _taken_until(
    kafka: KafkaClients, topic: str, records: Iterable[Any]
) -> dict[int, int]:
    """
    Return when the first record that is left was written, in ms, where others are gone.

    It is of each partition that does not begin at its beginning; one of which all is gone
    may have had any.
    """
    firsts: dict[int, int] = {}
    for record in records:
        firsts.setdefault(record.partition, record.timestamp)
    async with kafka.reader(topic) as consumer:
        asked = consumer.beginning_offsets(list(consumer.assignment()))
        begins = await bounded(asked, f"asking where {topic} begins")
    return {
        each.partition: firsts.get(each.partition, sys.maxsize)
        for each, offset in begins.items()
        if offset
    }


def _earlier(commands: Iterable[Any], events: Iterable[Any]) -> frozenset[str]:
    """Return the commands accepted before the oldest record that is there was published."""
    oldest = min((each.timestamp for each in commands), default=0)
    before = (read(each) for each in events if each.timestamp < oldest)
    return frozenset(
        each.command_id
        for each in before
        if each.kind == "delivery.accepted" and each.command_id is not None
    )


def compose(
    state: Iterable[Any],
    commands: Iterable[Any],
    events: Iterable[Any],
    dead_letters: Iterable[Any],
    offsets: Mapping[int, int],
    later: Iterable[Any] | None = None,
) -> History:
    """
    Return the history that records (aiokafka's ConsumerRecord) tell.

    *later* is the state as it was after the events were read, if it may have moved on.
    """
    hidden: set[str] = set()
    state = tuple(state)
    kept = _kept(state, hidden)
    after = kept if later is None else _kept(later, hidden)
    changed = (each for each in kept | after if kept.get(each) != after.get(each))
    return History(
        [_told(record) for record in events],
        [_asked(record) for record in commands],
        list(_parked(dead_letters)),
        kept,
        offsets,
        frozenset(changed),
        frozenset(hidden),
        read_again=_read_again(state),
        waiting=frozenset(_handed(state)).union(
            *(each.waiting for each in (*kept.values(), *after.values()))
        ),
    )


def _waiting(snapshot: Delivery | Finished) -> Iterator[Place]:
    """Yield the places of orders that wait for Jet's word, or behind one that does."""
    if isinstance(snapshot, Delivery):
        pending = () if snapshot.pending is None else (snapshot.pending,)
        for each in (*pending, *snapshot.orders):
            yield each.origin.partition, each.origin.offset


def _handed(state: Iterable[Any]) -> Iterator[Place]:
    """Yield the places of records that wait for another partition to answer them."""
    latest = {
        (record.partition, record.key): record.value
        for record in state
        if record.key.startswith(HANDED)
    }
    for value in filter(None, latest.values()):
        handed = handing.decode(value)
        yield handed.partition, handed.offset


def _read_again(state: Iterable[Any]) -> dict[int, ReadAgain]:
    """Return what of each partition was read again, as it says last."""
    kept: dict[int, Kept] = {}
    for record in state:
        if snapshots.is_own(record.key):
            now = kept.get(record.partition, Mark.EMPTY)
            kept[record.partition] = positions.fold(now, record.key, record.value)
    return {
        number: each.again
        for number, each in kept.items()
        if isinstance(each, Position) and each.again
    }


def _kept(state: Iterable[Any], hidden: set[str]) -> dict[str, SnapshotRow]:
    """Return the latest snapshots; whose cannot be read is *hidden*."""
    kept: dict[str, SnapshotRow] = {}
    for record in state:
        if not snapshots.is_own(record.key):
            _keep(kept, hidden, record)
    return kept


def _keep(kept: dict[str, SnapshotRow], hidden: set[str], record: Any) -> None:
    command_id = record.key.decode(errors="replace")
    kept.pop(command_id, None)
    hidden.discard(command_id)
    if record.value is None:
        return
    try:
        snapshot = snapshots.decode(record.value)
    except snapshots.UnreadableSnapshot:
        hidden.add(command_id)
    else:
        waiting = frozenset(_waiting(snapshot))
        kept[command_id] = SnapshotRow(snapshot.state, snapshot.sequence, waiting)


def _told(record: Any) -> EventRow:
    event = read(record)
    return EventRow(
        event.kind, event.command_id, record.partition, event.data, record.timestamp
    )


def _asked(record: Any) -> CommandRow:
    """Return what a record asks for, read as a worker reads it."""
    command_id, kind, paths = _read_command(record)
    return CommandRow(
        record.partition,
        record.offset,
        command_id,
        record.value,
        record.key,
        paths,
        kind,
        record.timestamp,
    )


def _read_command(record: Any) -> tuple[str | None, RecordKind, tuple[str, ...]]:
    try:
        command = commands.decode(record.value, record.headers, max_objects=sys.maxsize)
    except InvalidRecord as exc:
        return exc.reject.command_id, RecordKind.UNREADABLE, ()
    match command:
        case Send():
            paths = tuple(each.relative_path for each in command.objects)
            return command.command_id, RecordKind.SEND, paths
        case Cancel():
            return command.command_id, RecordKind.CANCEL, ()
        case Resolve():
            return command.command_id, RecordKind.RESOLVE, ()
        case never:
            assert_never(never)


async def _ledger(sandbox: str) -> list[CreationRow]:
    """Return what a sandbox has made since it began; raises JetUnavailable."""
    try:
        async with httpx.AsyncClient(base_url=sandbox, trust_env=False) as client:
            answer = (await client.get("/_sandbox/ledger")).raise_for_status()
            return [
                CreationRow(each["deliveryId"], tuple(each["objects"]), each["foreign"])
                for each in answer.json()["creations"]
            ]
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError) as exc:
        msg = f"no ledger of a sandbox at {sandbox}: {type(exc).__name__}"
        raise JetUnavailable(msg) from exc


def _parked(records: Iterable[Any]) -> Iterator[DeadLetterRow]:
    """Yield the letters; what a replay wrote about them is none."""
    for record in records:
        letter = dead_letters.read(record)
        if isinstance(letter, Letter):
            yield DeadLetterRow(
                letter.partition, letter.offset, letter.value, letter.key
            )


async def _read(kafka: KafkaClients, topic: str) -> list[Any]:
    """Return every committed record of a topic, up to its end as it is now."""
    found: list[Any] = []
    async for batch in records_of(kafka, topic, STABLE_END):
        found += batch
    return found


def _holds(verdict: Verdict, hidden: Sequence[str]) -> bool:
    return not (verdict.unchecked or verdict.violations or hidden)


def _print(verdict: Verdict, hidden: Sequence[str]) -> None:
    for name, number, bad in _counted(verdict):
        mark = "ok" if number and not bad else ("VIOLATED" if bad else "not checked")
        output.say(f"{mark:<12} {number:>8} checked  {bad:>4} bad  {name}")
    for invariant, what in verdict.violations[:_SHOWN]:
        output.say(f"violated: {invariant}: {what}")
    for each in verdict.unchecked:
        output.say(f"shows nothing, there was nothing to check: {each}")
    for command_id in hidden[:_SHOWN]:
        what = "its snapshot cannot be read by this version"
        output.say(f"not judged, {what}: {command_id}")
    if len(hidden) > _SHOWN:
        output.say(f"not judged either: {len(hidden) - _SHOWN} more")


def _counted(verdict: Verdict) -> Iterator[tuple[Invariant, int, int]]:
    """Yield each guarantee, how often it was checked, and how often violated."""
    violated = [invariant for invariant, _ in verdict.violations]
    for invariant, number in verdict.checked.items():
        yield invariant, number, violated.count(invariant)


def _data(verdict: Verdict, hidden: tuple[str, ...]) -> AuditData:
    return AuditData(
        holds=_holds(verdict, hidden),
        invariants=tuple(
            InvariantData(
                name=name,
                verdict="violated" if bad else ("ok" if number else "not checked"),
                checked=number,
                violated=bad,
            )
            for name, number, bad in _counted(verdict)
        ),
        violations=tuple(
            ViolationData(invariant=invariant, what=what)
            for invariant, what in verdict.violations
        ),
        unchecked=verdict.unchecked,
        unreadable=hidden,
    )
