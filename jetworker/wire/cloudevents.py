"""
CloudEvents 1.0 on input: binary and structured; anything else is a plain command.

The content type decides the mode, not the presence of `ce_` headers (Kafka protocol
binding §3): a structured message may repeat them.
"""

import base64
import binascii
from collections.abc import Sequence
from typing import Any

from jetworker.wire import strict_json

_REQUIRED = ("id", "source", "type")


class BrokenEnvelope(ValueError):
    """The attribute at *path* (a JSON Pointer) breaks *rule*."""

    def __init__(self, path: str, rule: str) -> None:
        super().__init__(f"CloudEvents envelope: {path.strip('/') or 'it'} {rule}")
        self.path = path
        self.rule = rule


def data_of(value: bytes, headers: Sequence[tuple[str, bytes | None]]) -> Any:
    """Return the parsed JSON inside a record; raises NotJson or BrokenEnvelope."""
    named = {name.lower(): raw for name, raw in headers}
    content_type = (named.get("content-type") or b"").strip().lower()
    if content_type.startswith(b"application/cloudevents"):
        return _structured(value, content_type)
    if "ce_specversion" in named:
        _check({name: named.get(f"ce_{name}") for name in ("specversion", *_REQUIRED)})
    return strict_json.loads(value)


def _structured(value: bytes, content_type: bytes) -> Any:
    if content_type.startswith(b"application/cloudevents-batch"):
        raise _broken(path="", rule="is a batch: publish one event a record")
    if not content_type.startswith(b"application/cloudevents+json"):
        raise _broken(path="", rule="must be application/cloudevents+json")
    envelope = strict_json.loads(value)
    if not isinstance(envelope, dict):
        raise _broken(path="", rule="must be a JSON object")
    _check({name: envelope.get(name) for name in ("specversion", *_REQUIRED)})
    return _data(envelope)


def _data(envelope: dict[str, Any]) -> Any:
    data, encoded = envelope.get("data"), envelope.get("data_base64")
    if data is not None and encoded is None:
        return data
    if not isinstance(encoded, str) or data is not None:
        raise _broken(path="/data", rule="is required, or data_base64, not both")
    try:
        decoded = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise _broken(path="/data_base64", rule="is not base64") from exc
    return strict_json.loads(decoded)


def _check(attributes: dict[str, Any]) -> None:
    version = attributes.pop("specversion")
    if version not in ("1.0", b"1.0"):
        raise _broken(path="/specversion", rule="must be 1.0")
    for name, value in attributes.items():
        if not isinstance(value, str | bytes) or not value:
            raise _broken(path=f"/{name}", rule="is required and not empty")


def _broken(*, path: str, rule: str) -> BrokenEnvelope:
    return BrokenEnvelope(path, rule)
