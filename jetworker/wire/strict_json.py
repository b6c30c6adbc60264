"""JSON as RFC 8259 and I-JSON mean it: no duplicate keys, no NaN, no lone surrogates."""

import json
from decimal import Decimal
from typing import Any

import orjson

_LEAST, _MOST = -(2**63), 2**64 - 1
_DIGITS = len(str(_LEAST))


class NotJson(ValueError):
    """The bytes are not strict JSON."""


def loads(value: bytes) -> Any:
    """
    Parse strictly; raises NotJson.

    orjson decides what is JSON (RFC 8259: no NaN, no invalid UTF-8, no lone
    surrogates, bounded nesting); it does not tell of duplicate keys or of numbers that
    it changes, so what it accepts and writes otherwise is read a second time for those
    alone. It reads deeper than it writes: what could not be echoed is refused here,
    not when the event is written.
    """
    try:
        parsed = orjson.loads(value)
        again = orjson.dumps(parsed)
        if again == value or _without_blanks(again) == _without_blanks(value):
            return parsed
        json.loads(
            value,
            object_pairs_hook=_no_duplicates,
            parse_int=_int,
            parse_float=_float,
        )
    except NotJson:
        raise
    except orjson.JSONEncodeError as exc:
        msg = "nested too deeply"
        raise NotJson(msg) from exc
    except ValueError as exc:
        msg = "not JSON"
        raise NotJson(msg) from exc
    return parsed


def _without_blanks(value: bytes) -> bytes:
    """
    Return JSON without a blank after each comma and colon, also in strings.

    No key or number comes or goes by it: two that are equal then have the same ones.
    """
    return value.replace(b", ", b",").replace(b": ", b":")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        msg = "a key occurs twice in one object"
        raise NotJson(msg)
    return found


def _float(digits: str) -> float:
    """Refuse what a float cannot hold: it would be echoed changed."""
    try:
        is_kept = Decimal(digits) == Decimal(repr(float(digits)))
    except ArithmeticError:  # an exponent beyond what a decimal can have
        is_kept = False
    if not is_kept:
        msg = "a number has more digits than can be kept"
        raise NotJson(msg)
    return float(digits)


def _int(digits: str) -> int:
    """Refuse what orjson would turn into a float: it would be echoed changed."""
    if len(digits) > _DIGITS or not _LEAST <= (number := int(digits)) <= _MOST:
        msg = "a number is too large"
        raise NotJson(msg)
    return number
