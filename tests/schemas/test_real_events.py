"""What the demo publishes and what the examples show are what the schemas describe."""

import asyncio
import re
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from jsonschema import Draft202012Validator, FormatChecker

from jetworker.cli import schemas
from jetworker.config.model import TopicsConfig
from jetworker.core.command import CommandId, Origin, Resolution, Resolve
from jetworker.wire import asyncapi
from jetworker.wire.answers import Answers
from jetworker.wire.events import Envelope
from tests.support.jet.fake_server import JetServer
from tests.support.system import System
from tests.support.waiting import PATIENCE

pytestmark = [pytest.mark.integration, pytest.mark.timeout(200)]

FOLDER = Path(__file__).parents[2] / "schemas"
DOCUMENTS = {
    name: orjson.loads(content)
    for name, content in schemas.documents()
    if name.endswith(".json")
}
MESSAGES = {
    message["name"]: message
    for message in yaml.safe_load(asyncapi.document())["components"][
        "messages"
    ].values()
}
HEADERS = yaml.safe_load(asyncapi.document())["components"]["schemas"]
UNREADABLE = {"invalid_json", "invalid_command"}


@dataclass(frozen=True)
class Written:
    """A record as it is in Kafka."""

    place: str
    key: str | None
    value: bytes
    headers: dict[str, str]

    @classmethod
    def of(cls, record: Any) -> "Written":
        """Take what matters of a consumer's record."""
        return cls(
            f"{record.topic}:{record.partition}:{record.offset}",
            record.key.decode() if record.key is not None else None,
            record.value,
            {name: value.decode() for name, value in record.headers},
        )


@dataclass(frozen=True)
class Captured:
    """Everything that was written in a run of the demo."""

    commands: list[Written]
    events: list[Written]
    dead_letters: list[Written]


@pytest.fixture(scope="module")
def captured(tmp_path_factory: pytest.TempPathFactory) -> Captured:
    """Run the demo once, from outside, and read its topics before it ends."""
    return asyncio.run(_capture(tmp_path_factory.mktemp("demo")))


async def _capture(folder: Path) -> Captured:
    run = (sys.executable, "-m", "jetworker", "demo", "--keep")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *run, stdout=pipe, preexec_fn=_let_be_interrupted
    )
    said: list[str] = []
    try:
        async for line in _lines(process):
            said.append(line)
            if "Ctrl-C ends it" in line:
                break
        text = "\n".join(said)
        assert "it all adds up" in text, text
        environ = dict(re.findall(r"export (JETWORKER_\w+)=(\S+)", text))
        servers = environ["JETWORKER_KAFKA__BOOTSTRAP_SERVERS"]
        system = System(servers, JetServer(), folder, "")  # to read with
        topics = TopicsConfig()
        names = (topics.commands, topics.events, topics.dead_letters)
        try:
            return Captured(
                *[[Written.of(each) for each in await system.read(n)] for n in names]
            )
        finally:
            await system.close()
    finally:
        process.send_signal(signal.SIGINT)
        await asyncio.wait_for(process.wait(), PATIENCE)


def _let_be_interrupted() -> None:
    """A job in the background of a script is started deaf to Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


async def _lines(process: asyncio.subprocess.Process) -> AsyncIterator[str]:
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        while line := await process.stdout.readline():
            yield line.decode().rstrip()


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


def test_the_demo_tells_of_everything_usual(captured: Captured) -> None:
    kinds = {
        each.headers["ce_type"].removeprefix("io.jetworker.")
        for each in captured.events
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
    assert len(captured.dead_letters) == 1


def test_every_event_has_the_fields_of_its_schema_and_no_other(
    captured: Captured,
) -> None:
    for event in captured.events:
        address = event.headers["ce_dataschema"]
        schema = DOCUMENTS[address.removeprefix(schemas.BASE)]
        assert problems(strict(schema), orjson.loads(event.value)) == [], event


def test_every_event_has_the_headers_and_the_key_that_are_described(
    captured: Captured,
) -> None:
    described = strict(HEADERS["cloudEventHeaders"])

    for event in captured.events:
        message = MESSAGES[event.headers["ce_type"]]
        assert problems(described, event.headers) == [], event
        assert message["payload"]["$ref"].endswith(
            event.headers["ce_dataschema"].removeprefix(schemas.BASE)
        )
        assert event.key == event.headers.get("ce_subject", event.key)


def test_a_dead_letter_has_the_headers_that_are_described(captured: Captured) -> None:
    described = strict(MESSAGES["dead letter"]["headers"])

    for letter in captured.dead_letters:
        assert problems(described, letter.headers) == []


def test_the_schema_of_commands_takes_what_the_worker_takes_and_refuses_the_rest(
    captured: Captured,
) -> None:
    schema = DOCUMENTS["commands/command.v1.schema.json"]
    refused = {
        event.headers["ce_id"]
        for event in captured.events
        if event.headers["ce_type"] == "io.jetworker.command.rejected"
        and orjson.loads(event.value)["reason"]["code"] in UNREADABLE
    }

    assert len(captured.commands) > len(refused) > 0
    for command in captured.commands:
        is_refused = bool(problems(schema, orjson.loads(command.value)))
        assert is_refused == (command.place in refused), command


EXAMPLES = sorted((FOLDER / "examples" / "events").rglob("*.json"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_has_the_fields_of_its_schema_and_no_other(path: Path) -> None:
    name = f"events/{path.parent.name}.v1.schema.json"

    assert problems(strict(DOCUMENTS[name]), orjson.loads(path.read_bytes())) == []


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
    path: Path, captured: Captured
) -> None:
    example = orjson.loads(path.read_bytes())
    address = f"{schemas.BASE}events/{path.parent.name}.v1.schema.json"
    real = [
        orjson.loads(event.value)
        for event in captured.events
        if event.headers["ce_dataschema"] == address
    ]
    if path.parent.name == "command-applied" and not real:
        real = [_applied()]  # the demo orders something only where a command is held

    assert {frozenset(each) for each in real} == {frozenset(example)}
    assert set(_shape(example)) <= {at for each in real for at in _shape(each)}


def test_a_field_that_no_schema_describes_is_found_by_these_tests() -> None:
    schema = strict(DOCUMENTS["events/delivery.v1.schema.json"])
    example = orjson.loads((FOLDER / "examples/events/delivery/held.json").read_bytes())
    planted = deepcopy(example) | {"secret": 1}

    assert problems(schema, example) == []
    assert problems(schema, planted) != []
