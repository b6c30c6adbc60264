"""
Dead letters as they are read back, and what a replay writes about them.

A replay publishes the record as it was and marks its letter, by a record of its own on
the dead-letter topic, in one transaction: what the mark names is not replayed again.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from typing_extensions import override

from jetworker.wire import times
from jetworker.wire.record import Headers, Record

OURS = "jetworker-"
REPLAYED = f"{OURS}replayed"
REPLAYED_FROM = f"{OURS}replayed-from"


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where a letter is in the dead-letter topic; written PARTITION:OFFSET."""

    partition: int
    offset: int

    @override
    def __str__(self) -> str:
        """Return it as people write it."""
        return f"{self.partition}:{self.offset}"

    @classmethod
    def parse(cls, text: str) -> "Position":
        """Read one; raises ValueError."""
        partition, _, offset = text.partition(":")
        if not (partition.isdecimal() and offset.isdecimal()):
            msg = "write PARTITION:OFFSET, as 0:17"
            raise ValueError(msg)
        return cls(int(partition), int(offset))


@dataclass(frozen=True, slots=True)
class Letter:
    """
    A record that was not carried out: why, and where it was.

    *replayed_from* is set where the record came from a replay and was parked again.
    """

    position: Position
    parked_at: datetime
    reason: str
    message: str
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    replayed_from: Position | None

    @property
    def command_id(self) -> str | None:
        """The id that the record speaks of, None if that cannot be read."""
        try:
            body = orjson.loads(self.value or b"")
        except orjson.JSONDecodeError:
            return None
        found = body.get("commandId") if isinstance(body, dict) else None
        return found if isinstance(found, str) else None


@dataclass(frozen=True, slots=True)
class Mark:
    """That a letter was replayed."""

    letter: Position
    at: datetime


def read(record: Any) -> Letter | Mark | None:
    """
    Read a record of the dead-letter topic; None if it is not one of ours.

    A letter has the headers of whoever published its record, too. They may be called as
    ours are, but what a worker added comes last, and a mark has no reason.
    """
    headers = {
        name: (value or b"").decode("utf-8", "replace")
        for name, value in record.headers
    }
    try:
        if REPLAYED in headers and f"{OURS}reason" not in headers:
            letter = Position.parse(headers[REPLAYED])
            return Mark(letter, times.of_record(record.timestamp))
        return _letter(record, headers)
    except (KeyError, ValueError):
        return None


def _letter(record: Any, headers: dict[str, str]) -> Letter:
    return Letter(
        position=Position(record.partition, record.offset),
        parked_at=times.of_record(record.timestamp),
        reason=headers[f"{OURS}reason"],
        message=headers[f"{OURS}message"],
        topic=headers[f"{OURS}topic"],
        partition=int(headers[f"{OURS}partition"]),
        offset=int(headers[f"{OURS}offset"]),
        key=record.key,
        value=record.value,
        headers=tuple(record.headers),
        replayed_from=_replayed_from(headers),
    )


def _replayed_from(headers: dict[str, str]) -> Position | None:
    try:
        return Position.parse(headers.get(REPLAYED_FROM, ""))
    except ValueError:  # none, or one that no replay of ours wrote
        return None


def replay(letter: Letter) -> Record:
    """Return the record as it was, for where it was, with where it comes from."""
    kept = tuple(each for each in letter.headers if not each[0].startswith(OURS))
    origin = (REPLAYED_FROM, str(letter.position).encode())
    return Record(
        letter.topic, letter.key, letter.value, (*kept, origin), letter.partition
    )


def mark(letter: Letter, topic: str) -> Record:
    """Return the record that says on the dead-letter topic that it was replayed."""
    said = ((REPLAYED, str(letter.position).encode()),)
    return Record(topic, letter.key, None, said, letter.position.partition)
