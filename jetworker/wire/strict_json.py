"""JSON as RFC 8259 and I-JSON mean it: no duplicate keys, no NaN, no lone surrogates."""

import json
import re
from collections import Counter
from decimal import Decimal
from typing import Any

import orjson

_LEAST, _MOST = -(2**63), 2**64 - 1
_DIGITS = len(str(_LEAST))
_GZIP = b"\x1f\x8b"
_NO_NUMBER = re.compile("NaN|Infinity")  # a sign has been read where it stands
_NAMED = 64  # letters of a name that the record chose: an answer is bounded


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
    except orjson.JSONDecodeError as exc:
        raise NotJson(_what_is_wrong(value, exc)) from exc
    return parsed


def _what_is_wrong(value: bytes, exc: orjson.JSONDecodeError) -> str:
    """Say where *value* is no JSON and what is to be done, without what it says."""
    if value.startswith(_GZIP):
        return "not JSON: compressed (gzip); only Kafka's own compression is read"
    try:
        value.decode()
    except UnicodeDecodeError as found:
        return f"not JSON: not UTF-8 at byte {found.start + 1}"
    if _NO_NUMBER.match(exc.doc, exc.pos):
        place = f"line {exc.lineno} column {exc.colno}"
        return f"not JSON: NaN and Infinity are no numbers: {place}"
    return f"not JSON: {exc}"


def _without_blanks(value: bytes) -> bytes:
    """
    Return JSON without a blank after each comma and colon, also in strings.

    No key or number comes or goes by it: two that are equal then have the same ones.
    """
    return value.replace(b", ", b",").replace(b": ", b":")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        name = Counter(name for name, _ in pairs).most_common(1)[0][0]
        msg = f"the key {name[:_NAMED]!r} occurs twice in one object"
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
