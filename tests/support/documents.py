"""The documents of schemas/ as the models make them, once for all tests of a process."""

from typing import Any

import orjson
from jsonschema import Draft202012Validator, FormatChecker

from jetworker.cli import schemas
from tests.support import yaml_text

DOCUMENTS = dict(schemas.documents())
SCHEMAS: dict[str, Any] = {
    name: orjson.loads(content)
    for name, content in DOCUMENTS.items()
    if name.endswith(".json")
}
ASYNCAPI: dict[str, Any] = yaml_text.read(DOCUMENTS["asyncapi.yaml"])


def valid(name: str, data: Any) -> Any:
    """Return what a command printed with `--json`, held against its schema."""
    schema = SCHEMAS[f"cli/{name}.v1.schema.json"]
    validator = Draft202012Validator(schema, format_checker=FormatChecker())
    assert [error.message for error in validator.iter_errors(data)] == []
    assert data.keys() == schema["properties"].keys()
    return data
