"""What Jet said, fit to be published: short, on one line, without URLs."""

import re

import orjson

_URL = re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]*://\S+")
_LENGTH = 200
_READ = 2000
_NAMES = ("message", "error_description", "error", "title", "detail")


def quote(text: str) -> str:
    """Return what Jet said without URLs and control characters, at most 200 long."""
    plain = _URL.sub("(url)", text)
    printable = "".join(c if c.isprintable() else " " for c in plain)
    return " ".join(printable.split())[:_LENGTH]


def quote_answer(body: bytes) -> str:
    """Return the message of an error answer, or its beginning, quoted."""
    return quote(_message(body) or body[:_READ].decode("utf-8", "replace"))


def _message(body: bytes) -> str | None:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(answer, dict):
        return None
    found = (answer.get(name) for name in _NAMES)
    return next((each for each in found if isinstance(each, str) and each), None)
