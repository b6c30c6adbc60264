"""Instants as text: RFC 3339, UTC, milliseconds, `Z`."""

from datetime import UTC, datetime


def encode(moment: datetime) -> str:
    """Return `2026-11-23T10:00:00.000Z`."""
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def exact(moment: datetime) -> str:
    """Return the instant in UTC with microseconds, equal for equal instants."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
