"""The AsyncAPI document: which topics carry what, for whom."""

import yaml

from jetworker.core.delivery import EventType

_ANSWERS = {
    "command.rejected": "command-rejected",
    "command.duplicate": "command-duplicate",
    "command.applied": "command-applied",
}


def document() -> str:
    """Return AsyncAPI 3.0 as YAML; operations are from the worker's point of view."""
    return yaml.safe_dump(_document(), sort_keys=False, width=88)


def _document() -> dict[str, object]:
    events = {
        **{kind.value: kind.value.partition(".")[0] for kind in EventType},
        **_ANSWERS,
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "jetworker",
            "version": "1.0.0",
            "description": "Moves files with Signiant Jet when a message says so.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {
            "commands": _channel("jet.commands", {"command": "command"}),
            "events": _channel(
                "jet.events", {_key(kind): _key(kind) for kind in events}
            ),
        },
        "operations": {
            "readCommands": _operation("receive", "commands"),
            "publishEvents": _operation("send", "events"),
        },
        "components": {
            "messages": {
                "command": _command(),
                **{_key(kind): _event(kind, schema) for kind, schema in events.items()},
            },
            "schemas": {"cloudEventHeaders": _headers()},
        },
    }


def _key(kind: str) -> str:
    return kind.replace(".", "-")


def _channel(address: str, messages: dict[str, str]) -> dict[str, object]:
    return {
        "address": address,
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
    }


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
