"""The documents of schemas/ as the models make them, once for all tests of a process."""

from typing import Any

import orjson

from jetworker.cli import schemas
from tests.support import yaml_text

DOCUMENTS = dict(schemas.documents())
SCHEMAS: dict[str, Any] = {
    name: orjson.loads(content)
    for name, content in DOCUMENTS.items()
    if name.endswith(".json")
}
ASYNCAPI: dict[str, Any] = yaml_text.read(DOCUMENTS["asyncapi.yaml"])
