"""The JSON Schemas of what is read and written, generated from the models."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import (
    DEFAULT_REF_TEMPLATE,
    GenerateJsonSchema,
    JsonSchemaMode,
)
from typing_extensions import override

from jetworker.cli import output
from jetworker.core.errors import JetworkerError
from jetworker.wire import asyncapi, printed
from jetworker.wire.command_model import CommandModel
from jetworker.wire.events import (
    AppliedData,
    DeliveryData,
    DuplicateData,
    RejectedData,
    TransferData,
)
from jetworker.wire.routes import RoutesFile

BASE = "https://jetworker.io/schemas/"

_MODELS: dict[str, tuple[Any, JsonSchemaMode]] = {
    "commands/command.v1": (CommandModel, "validation"),
    "events/delivery.v1": (DeliveryData, "serialization"),
    "events/transfer.v1": (TransferData, "serialization"),
    "events/command-rejected.v1": (RejectedData, "serialization"),
    "events/command-duplicate.v1": (DuplicateData, "serialization"),
    "events/command-applied.v1": (AppliedData, "serialization"),
    "routes.v1": (RoutesFile, "validation"),
    "cli/audit.v1": (printed.AuditData, "serialization"),
    "cli/check.v1": (printed.ChecksData, "serialization"),
    "cli/dead-letter.v1": (printed.ShownLetterData, "serialization"),
    "cli/dead-letters-list.v1": (printed.LetterData, "serialization"),
    "cli/dead-letters-replay.v1": (printed.ReplayData, "serialization"),
    "cli/explain.v1": (printed.ExplainedData, "serialization"),
    "cli/job.v1": (printed.JobData, "serialization"),
    "cli/jobs.v1": (printed.JobsData, "serialization"),
    "cli/list.v1": (printed.ListedData, "serialization"),
    "cli/orders.v1": (printed.OrdersData, "serialization"),
    "cli/profiles.v1": (printed.ProfilesData, "serialization"),
    "cli/unsubscribed.v1": (printed.UnsubscribedAllData, "serialization"),
    "cli/published.v1": (printed.PublishedData, "serialization"),
    "cli/resend.v1": (printed.ResendData, "serialization"),
    "cli/jobs-observe.v1": (printed.ObservedJobData, "serialization"),
    "cli/state-rebuild.v1": (printed.RebuildData, "serialization"),
    "cli/schemas.v1": (printed.WrittenData, "serialization"),
    "cli/send.v1": (printed.SentData, "serialization"),
    "cli/topics.v1": (printed.TopicsData, "serialization"),
}


def documents() -> Iterator[tuple[str, bytes]]:
    """Yield every document with its path below the folder."""
    for name, (model, mode) in _MODELS.items():
        schema = _schema(name, model, mode)
        # Escaped: characters that turn the direction of text are not to be met as such.
        text = json.dumps(schema, indent=2, sort_keys=True) + "\n"
        yield f"{name}.schema.json", text.encode()
    yield "asyncapi.yaml", asyncapi.document().encode()


def of_commands() -> str:
    """Return the schema of what may be written to the commands topic, as of draft 7."""
    return _text(_schema("commands/command.v1", CommandModel, "validation"))


def of_events() -> str:
    """Return the schema of any value of the events topic in one document of draft 7."""
    return _text(_schema("events/any.v1", _Event, "serialization"))


_Event = DeliveryData | TransferData | RejectedData | DuplicateData | AppliedData


_DRAFT_7 = "http://json-schema.org/draft-07/schema#"
_DEFINITIONS = "#/definitions/"


def _text(schema: dict[str, Any]) -> str:
    """
    Return a schema as draft 7 says it, which is what registries can compare.

    Ours differ from it in where definitions stand, and in nothing else. It leaves out
    what stands beside a reference, so that there a reference must be alone.
    """
    of_2020 = DEFAULT_REF_TEMPLATE.removesuffix("{model}")

    def said(part: Any) -> Any:
        if isinstance(part, list):
            return [said(each) for each in part]
        if not isinstance(part, dict):
            return part
        if "$ref" not in part:
            return {key: said(value) for key, value in part.items()}
        name = str(part["$ref"]).removeprefix(of_2020)
        alone = {"$ref": f"{_DEFINITIONS}{name}"}
        rest = {key: said(value) for key, value in part.items() if key != "$ref"}
        return {**rest, "allOf": [alone]} if rest else alone

    defined = {name: said(each) for name, each in schema.get("$defs", {}).items()}
    rest = said({key: value for key, value in schema.items() if key != "$defs"})
    document = {**rest, "$schema": _DRAFT_7, "definitions": defined}
    return json.dumps(document, sort_keys=True)


def write(folder: Path) -> Iterator[Path]:
    """Write every document below *folder* and yield where; raises JetworkerError."""
    for name, content in documents():
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        except OSError as exc:
            msg = f"{path} cannot be written: {exc.strerror}"
            raise JetworkerError(msg) from exc
        yield path


def tell(written: Iterable[Path], *, as_json: bool) -> None:
    """Print where the documents were written."""
    if as_json:
        output.document(printed.WrittenData(files=tuple(map(str, written))))
        return
    for path in written:
        output.say(str(path))


def _schema(name: str, model: Any, mode: JsonSchemaMode) -> dict[str, Any]:
    schema = TypeAdapter(model).json_schema(
        by_alias=True, mode=mode, schema_generator=_Draft2020
    )
    head = {
        "$schema": GenerateJsonSchema.schema_dialect,
        "$id": f"{BASE}{name}.schema.json",
    }
    return head | schema


class _Draft2020(GenerateJsonSchema):
    """JSON Schema 2020-12 without the titles that only repeat a name."""

    @override
    def field_title_should_be_set(self, schema: Any) -> bool:
        """Leave them out."""
        return False if schema else super().field_title_should_be_set(schema)
