"""The AsyncAPI document is one, and says of Kafka and CloudEvents what is true."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft7Validator, Draft202012Validator, FormatChecker

from jetworker.core.delivery import EventType
from tests.support.documents import ASYNCAPI, SCHEMAS

ANSWERS = ("rejected", "duplicate", "applied")
# Of the npm package @asyncapi/specs 6.11.1 (Apache-2.0), without line breaks.
OFFICIAL = orjson.loads(Path(__file__).with_name("asyncapi-3.0.0.json").read_bytes())


def test_it_is_valid_by_the_official_schema() -> None:
    errors = Draft7Validator(OFFICIAL).iter_errors(ASYNCAPI)

    assert [f"{list(error.path)}: {error.message}"[:300] for error in errors] == []


def test_the_official_schema_would_refuse_what_is_wrong() -> None:
    wrong = ASYNCAPI | {"channels": {"commands": {"adress": "jet.commands"}}}

    assert list(Draft7Validator(OFFICIAL).iter_errors(wrong))


MESSAGES: dict[str, dict[str, Any]] = ASYNCAPI["components"]["messages"]


def test_everything_that_is_told_is_a_message() -> None:
    told = {f"io.jetworker.{kind}" for kind in EventType}
    answers = {f"io.jetworker.command.{each}" for each in ANSWERS}

    assert {each["name"] for each in MESSAGES.values()} == (
        told | answers | {"command", "dead letter", "replay mark"}
    )


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_has_a_key_and_examples_that_are_valid(name: str) -> None:
    message = MESSAGES[name]
    payload = _payload(message)

    assert message["bindings"]["kafka"]["key"]["description"]
    assert message["examples"]
    for example in message["examples"]:
        payload.validate(example["payload"])


@pytest.mark.parametrize("name", [each for each in MESSAGES if each != "command"])
def test_the_headers_of_an_example_are_those_that_are_described(name: str) -> None:
    described = MESSAGES[name]["headers"]
    if "$ref" in described:
        described = ASYNCAPI["components"]["schemas"]["cloudEventHeaders"]

    for example in MESSAGES[name]["examples"]:
        Draft202012Validator(described).validate(example["headers"])
        assert example["headers"].keys() <= described["properties"].keys()


@pytest.mark.parametrize("channel", ASYNCAPI["channels"])
def test_every_channel_names_its_topic(channel: str) -> None:
    described = ASYNCAPI["channels"][channel]

    assert described["address"].startswith("jet.")
    assert described["bindings"]["kafka"]
    assert described["messages"]


def _payload(message: dict[str, Any]) -> Draft202012Validator:
    """Return the schema of a message, read from beside the document."""
    schema = message["payload"]
    if "$ref" in schema:
        schema = SCHEMAS[schema["$ref"].removeprefix("./")]
    return Draft202012Validator(schema, format_checker=FormatChecker())
