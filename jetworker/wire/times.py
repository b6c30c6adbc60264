"""Instants as text: RFC 3339, UTC, milliseconds, `Z`."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_FIRST_YEAR, _LAST_YEAR = 1971, 9000


def encode(moment: datetime) -> str:
    """Return `2026-11-23T10:00:00.000Z`."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="milliseconds")[:-6] + "Z"


def exact(moment: datetime) -> str:
    """Return the instant in UTC with microseconds, equal for equal instants."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def of_record(milliseconds: int) -> datetime:
    """Return a Kafka record's time, bounded: its producer may have set it to anything."""
    try:
        return datetime.fromtimestamp(max(0, milliseconds) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.max.replace(tzinfo=UTC)


def is_plausible(moment: datetime) -> bool:
    """Whether a moment that others wrote can be calculated with; no clock is beyond."""
    return _FIRST_YEAR <= moment.year <= _LAST_YEAR


LIMIT = 300.0  # seconds of a Retry-After that are obeyed


def parse(value: str | None, now: datetime) -> float | None:
    """Return the seconds to wait, at most five minutes; None if it says nothing."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), LIMIT)
    return _until(text, now)


def _until(text: str, now: datetime) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(0.0, (moment - now).total_seconds()), LIMIT)
