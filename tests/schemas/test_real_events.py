"""What the demo publishes and what the examples show are what the schemas describe."""

from collections.abc import Iterator
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator, FormatChecker

from jetworker.cli import schemas
from jetworker.core.command import CommandId, Origin, Resolution, Resolve
from jetworker.wire.answers import Answers
from jetworker.wire.events import Envelope
from tests.support.demo import Shown
from tests.support.documents import ASYNCAPI, SCHEMAS

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

FOLDER = Path(__file__).parents[2] / "schemas"
MESSAGES = {
    message["name"]: message for message in ASYNCAPI["components"]["messages"].values()
}
HEADERS = ASYNCAPI["components"]["schemas"]
UNREADABLE = {"invalid_json", "invalid_command"}


def strict(schema: Any) -> Any:
    """Copy a schema and close its objects: a field that it does not describe is wrong."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: strict(below) for name, below in schema.items()}
    if "properties" in schema and isinstance(schema["properties"], dict):
        closed.setdefault("additionalProperties", False)
    return closed


def problems(schema: Any, value: Any) -> list[str]:
    """Return what is wrong with a value."""
    validator = Draft202012Validator(schema, format_checker=FormatChecker())
    return [f"{e.json_path}: {e.message}"[:300] for e in validator.iter_errors(value)]


def test_the_demo_tells_of_everything_usual(demo: Shown) -> None:
    kinds = {
        each.headers["ce_type"].removeprefix("io.jetworker.") for each in demo.events
    }

    assert kinds >= {
        "delivery.accepted",
        "delivery.waiting",
        "delivery.started",
        "delivery.progressed",
        "delivery.completed",
        "delivery.failed",
        "transfer.progressed",
        "transfer.completed",
        "command.rejected",
        "command.duplicate",
    }
    assert len(demo.dead_letters) == 1


def test_every_event_has_the_fields_of_its_schema_and_no_other(
    demo: Shown,
) -> None:
    for event in demo.events:
        address = event.headers["ce_dataschema"]
        schema = SCHEMAS[address.removeprefix(schemas.BASE)]
        assert problems(strict(schema), orjson.loads(event.value)) == [], event


def test_every_event_has_the_headers_and_the_key_that_are_described(
    demo: Shown,
) -> None:
    described = strict(HEADERS["cloudEventHeaders"])

    for event in demo.events:
        message = MESSAGES[event.headers["ce_type"]]
        assert problems(described, event.headers) == [], event
        assert message["payload"]["$ref"].endswith(
            event.headers["ce_dataschema"].removeprefix(schemas.BASE)
        )
        assert event.key == event.headers.get("ce_subject", event.key)


def test_a_dead_letter_has_the_headers_that_are_described(demo: Shown) -> None:
    described = strict(MESSAGES["dead letter"]["headers"])

    for letter in demo.dead_letters:
        assert problems(described, letter.headers) == []


def test_the_schema_of_commands_takes_what_the_worker_takes_and_refuses_the_rest(
    demo: Shown,
) -> None:
    schema = SCHEMAS["commands/command.v1.schema.json"]
    refused = {
        event.headers["ce_id"]
        for event in demo.events
        if event.headers["ce_type"] == "io.jetworker.command.rejected"
        and orjson.loads(event.value)["reason"]["code"] in UNREADABLE
    }

    assert len(demo.commands) > len(refused) > 0
    for command in demo.commands:
        is_refused = bool(problems(schema, orjson.loads(command.value)))
        assert is_refused == (command.place in refused), command


EXAMPLES = sorted((FOLDER / "examples" / "events").rglob("*.json"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_has_the_fields_of_its_schema_and_no_other(path: Path) -> None:
    name = f"events/{path.parent.name}.v1.schema.json"

    assert problems(strict(SCHEMAS[name]), orjson.loads(path.read_bytes())) == []


def _shape(value: Any, path: str = "") -> Iterator[str]:
    """Yield where there is something: fields of objects, at any depth."""
    if isinstance(value, dict) and not path.endswith("/metadata"):
        for name, below in value.items():
            yield f"{path}/{name}"
            yield from _shape(below, f"{path}/{name}")
    if isinstance(value, list):
        for each in value:
            yield from _shape(each, f"{path}/*")


def _applied() -> Any:
    """Return what a worker answers to an order that it carries out."""
    now = datetime.now(UTC)
    answers = Answers(Envelope("jet.events", "/jetworker/demo"), "jet.dead-letters")
    order = Resolve(CommandId("order-1"), Resolution.ABANDON)
    origin = Origin("jet.commands", 0, 9, now)
    return orjson.loads(answers.applied(order, origin, now).value or b"")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_has_the_fields_that_real_events_have(
    path: Path, demo: Shown
) -> None:
    example = orjson.loads(path.read_bytes())
    address = f"{schemas.BASE}events/{path.parent.name}.v1.schema.json"
    real = [
        orjson.loads(event.value)
        for event in demo.events
        if event.headers["ce_dataschema"] == address
    ]
    if path.parent.name == "command-applied" and not real:
        real = [_applied()]  # the demo orders something only where a command is held

    assert {frozenset(each) for each in real} == {frozenset(example)}
    assert set(_shape(example)) <= {at for each in real for at in _shape(each)}


def test_a_field_that_no_schema_describes_is_found_by_these_tests() -> None:
    schema = strict(SCHEMAS["events/delivery.v1.schema.json"])
    example = orjson.loads((FOLDER / "examples/events/delivery/held.json").read_bytes())
    planted = deepcopy(example) | {"secret": 1}

    assert problems(schema, example) == []
    assert problems(schema, planted) != []
