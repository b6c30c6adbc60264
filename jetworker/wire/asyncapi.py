"""The AsyncAPI document: which topics carry what, for whom."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import orjson
import yaml

from jetworker.core.delivery import EventType
from jetworker.wire import examples
from jetworker.wire.dead_letters import REPLAYED, REPLAYED_FROM

_ANSWERS = {
    "command.rejected": "command-rejected",
    "command.duplicate": "command-duplicate",
    "command.applied": "command-applied",
}


def document() -> str:
    """Return AsyncAPI 3.0 as YAML; operations are from the worker's point of view."""
    return yaml.safe_dump(_document(), sort_keys=False, width=88)


def _document() -> dict[str, object]:
    schemas = {kind.value: kind.value.partition(".")[0] for kind in EventType}
    events = schemas | _ANSWERS
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "jetworker",
            "version": "1.0.0",
            "description": "Moves files with Signiant Jet when a message says so.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": _channels([_key(kind) for kind in events]),
        "operations": {
            "readCommands": _operation("receive", "commands"),
            "publishEvents": _operation("send", "events"),
            "keepDeliveries": _operation("send", "deliveries"),
            "parkCommands": _operation("send", "deadLetters"),
        },
        "components": {
            "messages": {
                "command": _command(),
                **{_key(kind): _event(kind, schema) for kind, schema in events.items()},
                "dead-letter": _dead_letter(),
                "replay-mark": _mark(),
            },
            "schemas": {"cloudEventHeaders": _headers()},
        },
    }


def _channels(events: Iterable[str]) -> dict[str, object]:
    return {
        "commands": _channel("jet.commands", {"command": "command"}),
        "events": _channel("jet.events", {name: name for name in events}),
        "deliveries": _channel(
            "jet.deliveries",
            {name: name for name in events if name.startswith("delivery-")},
            "If topics.deliveries is set: compacted, the latest event of each delivery;"
            " without a value once its commandId is forgotten.",
        ),
        "deadLetters": _channel(
            "jet.dead-letters",
            {"deadLetter": "dead-letter", "replayMark": "replay-mark"},
        ),
    }


def _key(kind: str) -> str:
    return kind.replace(".", "-")


def _channel(
    address: str, messages: dict[str, str], description: str | None = None
) -> dict[str, object]:
    described = {} if description is None else {"description": description}
    return {
        "address": address,
        **described,
        "messages": {
            name: {"$ref": f"#/components/messages/{ref}"}
            for name, ref in messages.items()
        },
        "bindings": {"kafka": {"topic": address, "bindingVersion": "0.5.0"}},
    }


def _operation(action: str, channel: str) -> dict[str, object]:
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}}


def _key_binding(description: str) -> dict[str, object]:
    key = {"type": "string", "description": description}
    return {"kafka": {"key": key, "bindingVersion": "0.5.0"}}


def _command() -> dict[str, object]:
    return {
        "name": "command",
        "title": "Send, cancel or resolve",
        "contentType": "application/json",
        "payload": {"$ref": "./commands/command.v1.schema.json"},
        "bindings": _key_binding("Always the same for the same commandId."),
        "examples": [
            {
                "name": "send",
                "payload": {
                    "commandId": "order-1",
                    "route": "london-to-paris",
                    "objects": [
                        {"relativePath": "/show/ep1.mov", "sizeInBytes": 104857600}
                    ],
                },
            }
        ],
    }


def _event(kind: str, schema: str) -> dict[str, object]:
    return {
        "name": f"io.jetworker.{kind}",
        "contentType": "application/json",
        "headers": {"$ref": "#/components/schemas/cloudEventHeaders"},
        "payload": {"$ref": f"./events/{schema}.v1.schema.json"},
        "bindings": _key_binding("The commandId."),
        "examples": _examples()[f"io.jetworker.{kind}"],
    }


def _dead_letter() -> dict[str, object]:
    text = {"type": "string"}
    names = ("reason", "message", "topic", "partition", "offset")
    headers = {f"jetworker-{name}": text for name in names}
    return {
        "name": "dead letter",
        "title": "A record that was not carried out, byte for byte",
        "summary": "Its key, value and headers, and where and why in headers of ours.",
        "headers": {
            "type": "object",
            "properties": headers | {REPLAYED_FROM: _position()},
            "required": list(headers),
        },
        "payload": {"description": "Whatever it was, also what is not JSON."},
        "bindings": _key_binding("The record's own."),
        "examples": _examples()["dead letter"],
    }


def _mark() -> dict[str, object]:
    return {
        "name": "replay mark",
        "title": "That a dead letter was replayed; who reads letters skips it",
        "headers": {
            "type": "object",
            "properties": {REPLAYED: _position()},
            "required": [REPLAYED],
        },
        "payload": {"type": "null"},
        "bindings": _key_binding("The letter's."),
        "examples": [{"headers": {REPLAYED: "0:17"}, "payload": None}],
    }


def _position() -> dict[str, object]:
    description = "Of a dead letter: PARTITION:OFFSET in the dead-letter topic."
    return {"type": "string", "pattern": "^[0-9]+:[0-9]+$", "description": description}


def _examples() -> dict[str, list[dict[str, Any]]]:
    """Return a record of each kind as AsyncAPI shows it, by the message's name."""
    found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in examples.records():
        headers = {name: (value or b"").decode() for name, value in record.headers}
        shown = {"headers": headers, "payload": orjson.loads(record.value or b"")}
        found[headers.get("ce_type", "dead letter")].append(shown)
    return found


def _headers() -> dict[str, object]:
    text = {"type": "string"}
    return {
        "type": "object",
        "description": "CloudEvents 1.0, Kafka protocol binding, binary mode.",
        "required": [
            "ce_specversion",
            "ce_id",
            "ce_type",
            "ce_source",
            "ce_time",
            "ce_dataschema",
            "content-type",
        ],
        "properties": {
            "ce_specversion": {"type": "string", "const": "1.0"},
            "ce_id": text,
            "ce_type": text,
            "ce_source": {"type": "string", "format": "uri-reference"},
            "ce_subject": text,
            "ce_time": {"type": "string", "format": "date-time"},
            "ce_dataschema": {"type": "string", "format": "uri"},
            "ce_sequence": {"type": "string", "pattern": "^[0-9]+$"},
            "content-type": {"type": "string", "const": "application/json"},
            "traceparent": text,
        },
    }
