"""
CloudEvents 1.0 on input: binary and structured; anything else is a plain command.

The content type decides the mode, not the presence of `ce_` headers (Kafka protocol
binding §3): a structured message may repeat them.
"""

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import orjson

from jetworker.core.command import Rejection
from jetworker.core.errors import InvalidRecord
from jetworker.wire import strict_json

_REQUIRED = ("id", "source", "type")


def data_of(value: bytes, headers: Sequence[tuple[str, bytes | None]]) -> bytes:
    """Return the command inside a record; raises InvalidRecord for a broken envelope."""
    named = {name.lower(): raw for name, raw in headers}
    content_type = (named.get("content-type") or b"").strip().lower()
    if content_type.startswith(b"application/cloudevents"):
        return _structured(value, content_type)
    if "ce_specversion" in named:
        _check({name: named.get(f"ce_{name}") for name in ("specversion", *_REQUIRED)})
    return value


def _structured(value: bytes, content_type: bytes) -> bytes:
    if not content_type.startswith(b"application/cloudevents+json"):
        raise _broken(path="", message="must be application/cloudevents+json")
    try:
        envelope = strict_json.loads(value)
    except strict_json.NotJson as exc:
        msg = str(exc)
        raise InvalidRecord(Rejection.INVALID_JSON, msg) from exc
    if not isinstance(envelope, dict):
        raise _broken(path="", message="a CloudEvent is a JSON object")
    _check({name: envelope.get(name) for name in ("specversion", *_REQUIRED)})
    return _data(envelope)


def _data(envelope: dict[str, Any]) -> bytes:
    data, encoded = envelope.get("data"), envelope.get("data_base64")
    if data is not None and encoded is None:
        return orjson.dumps(data)
    if not isinstance(encoded, str) or data is not None:
        raise _broken(path="/data", message="one of data and data_base64 is required")
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise _broken(path="/data_base64", message="is not base64") from exc


def _check(attributes: dict[str, Any]) -> None:
    version = attributes.pop("specversion")
    if version not in ("1.0", b"1.0"):
        raise _broken(path="/specversion", message="must be 1.0")
    for name, value in attributes.items():
        if not isinstance(value, str | bytes) or not value:
            raise _broken(path=f"/{name}", message="is required and not empty")


def _broken(*, path: str, message: str) -> InvalidRecord:
    told = f"CloudEvents envelope: {path.strip('/') or 'it'} {message}"
    return InvalidRecord(Rejection.INVALID_COMMAND, told, ((path, message),))
