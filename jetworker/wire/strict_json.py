"""JSON as RFC 8259 and I-JSON mean it: no duplicate keys, no NaN, no lone surrogates."""

import json
from typing import Any

import orjson


class NotJson(ValueError):
    """The bytes are not strict JSON."""


def loads(value: bytes) -> Any:
    """
    Parse strictly; raises NotJson.

    orjson decides what is JSON (RFC 8259: no NaN, no invalid UTF-8, no lone
    surrogates, bounded nesting); it does not tell of duplicate keys, so what it
    accepts is read a second time for those alone.
    """
    try:
        parsed = orjson.loads(value)
        json.loads(value, object_pairs_hook=_no_duplicates, parse_int=_int)
    except (orjson.JSONDecodeError, RecursionError, ValueError) as exc:
        msg = str(exc) if isinstance(exc, NotJson) else "not JSON"
        raise NotJson(msg) from exc
    return parsed


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        msg = "a key occurs twice in one object"
        raise NotJson(msg)
    return found


def _int(digits: str) -> int:
    """Refuse what no reader could hold; 2**64 and above are floats to orjson."""
    if len(digits) > 40:  # noqa: PLR2004 -- far beyond any number of bytes
        msg = "a number is too large"
        raise NotJson(msg)
    return int(digits)
