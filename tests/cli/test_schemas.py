"""The schemas in the repository are those of the models, and are schemas."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator, FormatChecker

from jetworker.cli import schemas
from jetworker.wire import commands, printed
from tests.support.documents import ASYNCAPI, DOCUMENTS, SCHEMAS

FOLDER = Path(__file__).parents[2] / "schemas"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_in_the_repository_is_what_the_models_say(name: str) -> None:
    assert (FOLDER / name).read_bytes() == DOCUMENTS[name], "run `make schemas`"


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_a_schema_with_an_address(name: str) -> None:
    schema = SCHEMAS[name]

    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"{schemas.BASE}{name}"


def formats(schema: Any) -> set[str]:
    """Return what a schema says that texts are."""
    if isinstance(schema, list):
        return {each for part in schema for each in formats(part)}
    if not isinstance(schema, dict):
        return set()
    named = {schema["format"]} if isinstance(schema.get("format"), str) else set()
    return named | formats([*schema.values()])


def test_the_tests_know_every_format_that_a_schema_names() -> None:
    """A checker takes everything for a format that it does not know."""
    assert formats([*SCHEMAS.values(), ASYNCAPI]) <= FormatChecker.checkers.keys()
    assert not FormatChecker().conforms("yesterday", "date-time")
    assert not FormatChecker().conforms("not an address", "uri")


def test_all_that_a_command_prints_for_programs_is_in_a_schema() -> None:
    """A model that is none's is printed without one, or printed by nobody."""
    models = {
        name
        for name, each in vars(printed).items()
        if isinstance(each, type) and each.__module__ == printed.__name__
    }
    text = b"".join(DOCUMENTS[name] for name in SCHEMAS).decode()
    named = {name for name in models if f'"title": "{name}"' in text}

    assert models - named == set()


COMMANDS = sorted((FOLDER / "examples" / "commands").rglob("*.json"))
EXAMPLES = sorted((FOLDER / "examples").rglob("*.json"))


@pytest.mark.parametrize(
    "path", EXAMPLES, ids=[path.relative_to(FOLDER).as_posix() for path in EXAMPLES]
)
def test_an_example_is_valid(path: Path) -> None:
    """The folder of an example is the path of its schema."""
    name = path.parent.relative_to(FOLDER / "examples").as_posix()
    schema = SCHEMAS[f"{name}.v1.schema.json"]

    Draft202012Validator(schema).validate(orjson.loads(path.read_bytes()))


@pytest.mark.parametrize("path", COMMANDS, ids=[path.stem for path in COMMANDS])
def test_an_example_of_a_command_is_read(path: Path) -> None:
    assert (
        commands.decode(path.read_bytes(), (), max_objects=10).command_id == "order-1"
    )
