"""Records of the topics as rows of the installation: what a page over all of it keeps."""

from collections.abc import Iterable
from datetime import UTC, datetime
from sys import intern
from typing import Any

import orjson

from jetworker.core.command import CommandId, JobId, RouteName
from jetworker.core.delivery import FailedObjects
from jetworker.core.installation import Gone, Letter, Position, Row, Told
from jetworker.wire import dead_letters, snapshots

_PATHS = 3  # of a command that failed
_SHORT = 300  # letters


def read_row(record: Any) -> Row | Gone | None:
    """
    Read one record (aiokafka's ConsumerRecord) of the state topic.

    None for the worker's own records. Raises UnreadableSnapshot.
    """
    if snapshots.is_own(record.key):
        return None
    at = Position(record.partition, record.offset)
    if record.value is None:
        return Gone(CommandId(record.key.decode()), at)
    found = snapshots.decode(record.value)
    return Row(
        command_id=found.command_id,
        route=RouteName(intern(found.route)),
        state=found.state,
        changed_at=_instant(record.timestamp),
        at=at,
        attempt=found.attempt,
        reason=found.reason,
        delivery_id=found.delivery_id,
        job_id=JobId(intern(found.job_id)) if found.job_id else None,
        started_at=found.started_at,
        finished_at=found.finished_at,
        accepted_at=found.accepted_at,
        requested=found.requested,
        progress=found.progress,
    )


def read_told(record: Any) -> Told | None:
    """Read one record of the events topic; None if it is about no command."""
    headers = _headers(record.headers)
    subject = headers.get("ce_subject")
    if subject is None:
        return None
    failed = None
    if headers.get("ce_type", "").endswith("delivery.failed"):
        failed = _failed(orjson.loads(record.value).get("failedObjects"))
    return Told(CommandId(subject), Position(record.partition, record.offset), failed)


def read_mark(record: Any) -> Position | None:
    """Return which letter a record of the dead-letter topic says was replayed."""
    found = dead_letters.read(record)
    if not isinstance(found, dead_letters.Mark):
        return None
    return Position(found.letter.partition, found.letter.offset)


def read_letter(record: Any) -> Letter:
    """Read one record of the dead-letter topic."""
    headers = _headers(record.headers)
    origin = None
    if headers.get("jetworker-offset", "").isdecimal():
        origin = Position(
            int(headers["jetworker-partition"]), int(headers["jetworker-offset"])
        )
    return Letter(
        at=Position(record.partition, record.offset),
        parked_at=_instant(record.timestamp),
        reason=intern(headers.get("jetworker-reason", "unknown")),
        message=headers.get("jetworker-message", "")[:_SHORT],
        key=None if record.key is None else text(record.key)[:_SHORT],
        topic=intern(headers.get("jetworker-topic", "")),
        origin=origin,
        is_replay=dead_letters.REPLAYED_FROM in headers,
    )


def text(value: bytes) -> str:
    """Return bytes of anybody's as text; what is no UTF-8 is shown as a mark."""
    return value.decode("utf-8", "replace")


def _failed(found: Any) -> FailedObjects | None:
    if not found:
        return None
    return FailedObjects(found["count"], tuple(found["paths"][:_PATHS]))


def _headers(headers: Iterable[tuple[str, bytes | None]]) -> dict[str, str]:
    return {name: text(value or b"") for name, value in headers}


def _instant(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
