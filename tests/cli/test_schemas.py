"""The schemas in the repository are those of the models, and are schemas."""

from pathlib import Path

import orjson
import pytest
from jsonschema import Draft202012Validator

from jetworker.cli import schemas
from jetworker.wire import commands

FOLDER = Path(__file__).parents[2] / "schemas"
DOCUMENTS = dict(schemas.documents())


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_in_the_repository_is_what_the_models_say(name: str) -> None:
    assert (FOLDER / name).read_bytes() == DOCUMENTS[name], "run `make schemas`"


@pytest.mark.parametrize("name", [n for n in DOCUMENTS if n.endswith(".json")])
def test_a_schema_is_a_schema_with_an_address(name: str) -> None:
    schema = orjson.loads(DOCUMENTS[name])

    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"{schemas.BASE}{name}"


COMMANDS = sorted((FOLDER / "examples" / "commands").rglob("*.json"))
EXAMPLES = sorted((FOLDER / "examples").rglob("*.json"))


@pytest.mark.parametrize(
    "path", EXAMPLES, ids=[path.relative_to(FOLDER).as_posix() for path in EXAMPLES]
)
def test_an_example_is_valid(path: Path) -> None:
    """The folder of an example is the path of its schema."""
    name = path.parent.relative_to(FOLDER / "examples").as_posix()
    schema = orjson.loads(DOCUMENTS[f"{name}.v1.schema.json"])

    Draft202012Validator(schema).validate(orjson.loads(path.read_bytes()))


@pytest.mark.parametrize("path", COMMANDS, ids=[path.stem for path in COMMANDS])
def test_an_example_of_a_command_is_read(path: Path) -> None:
    assert (
        commands.decode(path.read_bytes(), (), max_objects=10).command_id == "order-1"
    )
