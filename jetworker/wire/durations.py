"""Durations as people write them: `500ms`, `30s`, `5m`, `24h`, `7d`, or plain seconds."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

_NUMBER = r"\d+(\.\d+)?"
_FORM = re.compile(rf"(?P<number>{_NUMBER})(?P<unit>ms|s|m|h|d)?")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse(text: str | float) -> timedelta:
    """Read a duration; raises ValueError with the forms that are understood."""
    match = _FORM.fullmatch(str(text).strip())
    if match is None or isinstance(text, bool):
        msg = "not a duration: write 500ms, 30s, 5m, 24h, 7d or plain seconds"
        raise ValueError(msg)
    try:
        return timedelta(seconds=float(match["number"]) * _UNITS[match["unit"] or "s"])
    except OverflowError as exc:
        msg = "a duration of more than 999,999,999 days"
        raise ValueError(msg) from exc


def _read(value: object) -> object:
    return parse(value) if isinstance(value, str | int | float) else value


def _some(value: timedelta) -> timedelta:
    """Refuse no time at all, in words: pydantic's own names a class of Python."""
    if not value:
        msg = "must be greater than 0"
        raise ValueError(msg)
    return value


# What pydantic says of a timedelta (ISO 8601) is not what we read.
_SCHEMA = {
    "anyOf": [
        {"type": "string", "pattern": f"^{_NUMBER}(ms|s|m|h|d)?$"},
        {"type": "number", "exclusiveMinimum": 0},
    ],
    "description": "More than nothing: 500ms, 30s, 5m, 24h, 7d, or plain seconds.",
}

Duration = Annotated[
    timedelta,
    BeforeValidator(_read),
    AfterValidator(_some),
    WithJsonSchema(_SCHEMA),
]


def within(least: str, most: str) -> AfterValidator:
    """Bound a duration, and say the bounds as people write them."""
    shortest, longest = parse(least), parse(most)

    def check(value: timedelta) -> timedelta:
        if not shortest <= value <= longest:
            msg = f"must be between {least} and {most}"
            raise ValueError(msg)
        return value

    return AfterValidator(check)
