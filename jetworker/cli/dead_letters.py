"""`jetworker dead-letters`: what was parked and why, and the way back."""

import base64
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from aiokafka import AIOKafkaProducer

from jetworker.cli import output
from jetworker.cli.exit_codes import FAILED, OK, REJECTED
from jetworker.cli.orders import is_confirmed
from jetworker.config.model import Config
from jetworker.core.errors import Fenced, StoreError
from jetworker.kafka.clients import KafkaClients, bounded
from jetworker.kafka.reader import HIGH_WATERMARKS
from jetworker.kafka.reader import read as records_of
from jetworker.wire import dead_letters, times
from jetworker.wire.dead_letters import Letter, Mark, Position
from jetworker.wire.printed import (
    HeaderData,
    LetterData,
    ReplayData,
    ReplayedData,
    ShownLetterData,
    WhereData,
)

_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which letters are meant; with neither, all."""

    reason: str | None = None
    since: timedelta | None = None
    positions: frozenset[Position] = frozenset()

    def fits(self, letter: Letter, now: datetime) -> bool:
        """Whether a letter is meant."""
        return (
            (not self.positions or letter.position in self.positions)
            and (self.reason is None or letter.reason == self.reason)
            and (self.since is None or letter.parked_at >= now - self.since)
        )


@dataclass(slots=True)
class _Box:
    """What the dead-letter topic holds: letters in order, and which were replayed."""

    letters: list[Letter] = field(default_factory=list)
    marks: dict[Position, datetime] = field(default_factory=dict)

    def chosen(self, chosen: Chosen) -> list[Letter]:
        """Return the letters that are meant."""
        now = datetime.now(UTC)
        return [each for each in self.letters if chosen.fits(each, now)]


async def list_letters(config: Config, chosen: Chosen, *, as_json: bool) -> int:
    """Print the letters that fit, and how many there are for each reason."""
    box = await _read(config)
    found = box.chosen(chosen)
    if as_json:
        for letter in found:
            output.line(_data(letter, box))
    else:
        columns = ("position", "parked", "reason", "command", "replayed", "message")
        output.table(columns, [_row(letter, box) for letter in found])
    reasons = Counter(letter.reason for letter in found)
    for reason, number in sorted(reasons.items()):
        (output.remark if as_json else output.say)(f"{number} {reason}")
    return OK


async def show(config: Config, position: Position, *, as_json: bool) -> int:
    """Print one letter with all that the record had; 1 if there is none there."""
    box = await _read(config)
    letter = next((each for each in box.letters if each.position == position), None)
    if letter is None:
        output.remark(f"there is no dead letter at {position}")
        return FAILED
    shown = _shown(letter, box)
    if as_json:
        output.document(shown)
        return OK
    for name, text in _facts(shown):
        output.say(f"{name:<10}  {text}")
    return OK


async def replay(
    config: Config, chosen: Chosen, *, dry_run: bool, yes: bool, as_json: bool
) -> int:
    """
    Publish the chosen records again, where they were, each once.

    A letter that came from a replay is replayed by its position only: what is refused
    for ever would go round for ever. 1 if any that is meant was not replayed.
    """
    box = await _read(config)
    missing = chosen.positions - {letter.position for letter in box.letters}
    for position in sorted(missing):
        output.remark(f"there is no dead letter at {position}")
    found = box.chosen(chosen)
    skipped = [each for each in found if each.position in box.marks]
    meant = [
        each
        for each in found
        if each.position not in box.marks
        and (each.replayed_from is None or each.position in chosen.positions)
    ]
    if not as_json:
        _tell(meant, skipped)
    published: dict[Position, WhereData] = {}
    is_whole = not missing
    if meant and not dry_run:
        if not is_confirmed(f"replay {len(meant)}?", yes=yes):
            return REJECTED
        published = await _publish(config, meant)
        is_whole = is_whole and len(published) == len(meant)
    if as_json:
        done = tuple(_replayed(each, published) for each in meant)
        already = tuple(str(each.position) for each in skipped)
        output.document(ReplayData(dry_run=dry_run, replayed=done, skipped=already))
    elif not dry_run:
        output.say(f"replayed: {len(published)}")
    return OK if is_whole else FAILED


async def replay_at(
    config: Config, positions: Iterable[Position]
) -> frozenset[Position]:
    """
    Publish these letters' records again, less those that were; returns which.

    Raises StoreError.
    """
    chosen = Chosen(positions=frozenset(positions))
    meant = (await _read(config)).chosen(chosen)
    return frozenset(await _publish(config, meant))


async def _read(config: Config) -> _Box:
    """Read all that was written; what is not ours is left out."""
    kafka = KafkaClients(config.kafka, config.topics)
    box = _Box()
    async for batch in records_of(kafka, config.topics.dead_letters, HIGH_WATERMARKS):
        for record in batch:
            match dead_letters.read(record):
                case Letter() as letter:
                    box.letters.append(letter)
                case Mark(letter, at):
                    box.marks[letter] = at
                case None:
                    pass
    box.letters.sort(key=lambda each: (each.parked_at, each.position))
    return box


async def _publish(
    config: Config, meant: Sequence[Letter]
) -> dict[Position, WhereData]:
    """
    Publish the records and their letters' marks, some in each transaction.

    Opening the producer ends every other replay, and what it had not committed; the
    marks are read after that, so that nothing is replayed by both.
    """
    kafka = KafkaClients(config.kafka, config.topics)
    topic = config.topics.dead_letters
    published: dict[Position, WhereData] = {}
    try:
        async with kafka.producer(f"jetworker-replay-{topic}") as producer:
            marks = (await _read(config)).marks
            wanted = [each for each in meant if each.position not in marks]
            left = await _with_a_way_back(kafka, producer, wanted)
            for start in range(0, len(left), _AT_ONCE):
                batch = left[start : start + _AT_ONCE]
                published |= await _transaction(producer, batch, topic)
    except Fenced as exc:
        msg = f"another replay has begun; this one had replayed {len(published)}"
        raise StoreError(msg) from exc
    return published


async def _with_a_way_back(
    kafka: KafkaClients, producer: AIOKafkaProducer, letters: Sequence[Letter]
) -> list[Letter]:
    """Return the letters whose partition is still there, and say of the others."""
    topics = sorted({each.topic for each in letters})
    there = {each: await kafka.count(producer, each) for each in topics}
    for each in letters:
        if not there[each.topic]:
            gone = f"there is no topic {each.topic}"
        elif not 0 <= each.partition < there[each.topic]:
            gone = f"{each.topic} has no partition {each.partition} any more"
        else:
            continue
        output.remark(f"{each.position} is left as it is: {gone}")
    return [each for each in letters if 0 <= each.partition < there[each.topic]]


async def _transaction(
    producer: AIOKafkaProducer, batch: Iterable[Letter], topic: str
) -> dict[Position, WhereData]:
    """Publish and mark these; one that Kafka does not take leaves all as they were."""
    await bounded(producer.begin_transaction(), "beginning a transaction")
    try:
        published = await _send(producer, batch, topic)
        await bounded(producer.commit_transaction(), "committing")
    except Fenced:
        raise
    except StoreError:
        # An open transaction would hide from readers what comes after it.
        with suppress(StoreError):
            await bounded(producer.abort_transaction(), "aborting")
        raise
    return published


async def _send(
    producer: AIOKafkaProducer, batch: Iterable[Letter], topic: str
) -> dict[Position, WhereData]:
    published: dict[Position, WhereData] = {}
    for letter in batch:
        for record in (dead_letters.replay(letter), dead_letters.mark(letter, topic)):
            sending = producer.send_and_wait(
                record.topic,
                record.value,
                record.key,
                partition=record.partition,
                headers=list(record.headers),
            )
            where = await bounded(sending, f"replaying {letter.position}")
            if record.topic == letter.topic:
                published[letter.position] = WhereData(
                    topic=where.topic, partition=where.partition, offset=where.offset
                )
    return published


def _tell(meant: Sequence[Letter], skipped: Sequence[Letter]) -> None:
    reasons = Counter((each.reason, each.topic) for each in meant)
    output.say(f"{len(meant)} to replay")
    for (reason, topic), number in sorted(reasons.items()):
        output.say(f"  {number} {reason}, to {topic}")
    if skipped:
        output.say(f"{len(skipped)} left out: replayed before")


def _row(letter: Letter, box: _Box) -> tuple[str, ...]:
    at = box.marks.get(letter.position)
    return (
        str(letter.position),
        times.encode(letter.parked_at),
        letter.reason,
        letter.command_id or "",
        times.encode(at) if at else "",
        letter.message,
    )


def _data(letter: Letter, box: _Box) -> LetterData:
    return LetterData(**_fields(letter, box))


def _fields(letter: Letter, box: _Box) -> dict[str, object]:
    at = box.marks.get(letter.position)
    again = letter.replayed_from
    return {
        "position": str(letter.position),
        "parked_at": times.encode(letter.parked_at),
        "reason": letter.reason,
        "message": letter.message,
        "origin": _origin(letter),
        "command_id": letter.command_id,
        "replayed_from": str(again) if again else None,
        "replayed_at": times.encode(at) if at else None,
    }


def _origin(letter: Letter) -> WhereData:
    return WhereData(
        topic=letter.topic, partition=letter.partition, offset=letter.offset
    )


def _replayed(letter: Letter, published: dict[Position, WhereData]) -> ReplayedData:
    return ReplayedData(
        position=str(letter.position),
        reason=letter.reason,
        origin=_origin(letter),
        published=published.get(letter.position),
    )


def _shown(letter: Letter, box: _Box) -> ShownLetterData:
    key, key_base64 = _text(letter.key)
    value, value_base64 = _text(letter.value)
    headers: list[HeaderData] = []
    for name, raw in letter.headers:
        text, coded = _text(raw)
        headers.append(HeaderData(name=name, value=text, base64=coded))
    return ShownLetterData(
        **_fields(letter, box),
        key=key,
        key_base64=key_base64,
        value=value,
        value_base64=value_base64,
        headers=tuple(headers),
    )


def _text(raw: bytes | None) -> tuple[str | None, str | None]:
    """Return bytes as text, or in base64 where they are none."""
    if raw is None:
        return None, None
    try:
        return raw.decode(), None
    except UnicodeDecodeError:
        return None, base64.b64encode(raw).decode()


def _facts(shown: ShownLetterData) -> Iterable[tuple[str, str]]:
    origin = shown.origin
    yield "position", shown.position
    yield "parked", shown.parked_at
    yield "reason", f"{shown.reason}: {shown.message}"
    yield (
        "was at",
        f"{origin.topic}, partition {origin.partition}, offset {origin.offset}",
    )
    yield "command", shown.command_id or "-"
    if shown.replayed_from:
        yield "came from", f"the replay of {shown.replayed_from}"
    yield "replayed", shown.replayed_at or "no"
    coded = f"{shown.key_base64} (base64)" if shown.key_base64 else "-"
    yield "key", shown.key or coded
    for each in shown.headers:
        yield "header", f"{each.name}: {each.value or each.base64 or ''}"
    coded = f"{shown.value_base64} (base64)" if shown.value_base64 else "-"
    yield "value", shown.value or coded
