"""The Retry-After header: seconds or an HTTP date (RFC 9110 §10.2.3), capped."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LIMIT = 300.0


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
