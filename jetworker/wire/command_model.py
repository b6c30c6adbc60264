"""What a command may be: the rules of its JSON, which the published schema says too."""

import re
import unicodedata
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, Self

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    StrictBool,
    StrictInt,
    StrictStr,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict, JsonValue
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from jetworker.wire.jet import JET_ID_PATTERN

ID_PATTERN = r"^[A-Za-z0-9._:-]{1,128}$"
MAX_PATH_BYTES = 1024
MAX_METADATA_BYTES = 4096
MAX_SIZE = 2**53 - 1  # what every reader of JSON holds exactly
MAX_OBJECTS = 10_000  # as an installation is set unless it says otherwise
_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# The schema's patterns have no look-ahead and no \u: Go's expressions have neither.
_SEGMENT = r"([^/.]|\.[^/.]|\.\.[^/])[^/]*"
_PATH_PATTERN = rf"^/({_SEGMENT}(/{_SEGMENT})*)?$"
_FORBIDDEN_PATTERN = rf"[\x00-\x1f\x7f-\x9f\\{''.join(sorted(_BIDI))}]"
_RFC3339_PATTERN = (
    "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}"
    r"(\.[0-9]{1,64})?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
)
_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,64})?"
    r"([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
)


def _path(value: str) -> str:
    """Check the rules of `relativePath` that JSON Schema cannot say."""
    if len(value.encode()) > MAX_PATH_BYTES:
        msg = f"must be at most {MAX_PATH_BYTES} bytes of UTF-8"
        raise ValueError(msg)
    if "\\" in value:
        msg = "must not contain a backslash"
        raise ValueError(msg)
    if any(unicodedata.category(c) == "Cc" or c in _BIDI for c in value):
        msg = "must not contain control characters"
        raise ValueError(msg)
    if value != "/" and any(part in {"", ".", ".."} for part in value[1:].split("/")):
        msg = "must not have empty, . or .. segments"
        raise ValueError(msg)
    return value


def _instant(value: object) -> object:
    """Accept RFC 3339 with an offset and nothing else that pydantic would."""
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        msg = "must be RFC 3339 with an offset, as 2026-12-01T00:00:00Z"
        raise ValueError(msg)
    try:
        moment = _moment(value.upper())
    except (ValueError, OverflowError):  # near year 1 or 9999, UTC may not exist
        moment = None
    if moment is None:
        msg = "is not a day or time that exists"
        raise ValueError(msg)
    return moment


def _moment(text: str) -> datetime | None:
    """
    Return the moment in UTC, None for a leap second that cannot be one.

    No clock of ours shows a leap second: it is the moment after the one before.
    """
    if text[17:19] != "60":
        return datetime.fromisoformat(text).astimezone(UTC)
    before = datetime.fromisoformat(f"{text[:17]}59{text[19:]}").astimezone(UTC)
    if (before.hour, before.minute) != (23, 59):
        return None
    return before.replace(microsecond=0) + timedelta(seconds=1)


def _whole(value: object) -> object:
    """Take a float without a fraction for the number that it is."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _metadata(value: dict[str, Any]) -> dict[str, Any]:
    if len(orjson.dumps(value)) > MAX_METADATA_BYTES:
        msg = f"must be at most {MAX_METADATA_BYTES} bytes as compact JSON"
        raise ValueError(msg)
    return value


Id = Annotated[
    StrictStr,
    Field(pattern=ID_PATTERN, description="The idempotency key.", examples=["order-1"]),
]
Path = Annotated[
    StrictStr,
    Field(
        min_length=1,
        max_length=MAX_PATH_BYTES,
        pattern="^/",
        description="From the root of the source; no ., .., empty segments, \\ or"
        " control characters; at most 1,024 bytes of UTF-8.",
        examples=["/show/ep1.mov"],
        json_schema_extra={
            "pattern": _PATH_PATTERN,
            "not": {"pattern": _FORBIDDEN_PATTERN},
        },
    ),
    AfterValidator(_path),
]
Metadata = Annotated[
    dict[str, Any],
    AfterValidator(_metadata),
    Field(description="Echoed in every event; at most 4 KiB as compact JSON."),
]
Instant = Annotated[
    datetime,
    BeforeValidator(_instant, json_schema_input_type=str),
    Field(json_schema_extra={"format": "date-time", "pattern": _RFC3339_PATTERN}),
]


_Bounded = Annotated[StrictInt, Field(ge=0, le=MAX_SIZE)]
Size = Annotated[_Bounded, BeforeValidator(_whole, json_schema_input_type=_Bounded)]


_NULL: JsonDict = {"type": "null"}


def _where(name: str, value: JsonValue) -> JsonDict:
    """Return the schema of an object in which *name* is there and has this value."""
    return {"properties": {name: {"const": value}}, "required": [name]}


def _nullable(schema: JsonDict) -> None:
    """Say of a field that null is the same as to leave it out."""
    kind: JsonDict = {
        name: schema.pop(name) for name in ("type", "const") if name in schema
    }
    schema["anyOf"] = [kind, _NULL]


class _Strict(BaseModel):
    """Unknown fields are an error: a misspelt one must not move the wrong data."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=False
    )

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, value: object) -> object:
        if isinstance(value, dict):
            return {name: each for name, each in value.items() if each is not None}
        return value


class ObjectModel(_Strict):
    """One file or folder to send."""

    model_config = ConfigDict(
        json_schema_extra={
            "allOf": [
                {
                    "if": _where("isDirectory", value=True),
                    "then": {"properties": {"sizeInBytes": _NULL}},
                },
                {
                    "if": _where("relativePath", "/"),
                    "then": _where("isDirectory", value=True),
                },
            ]
        }
    )

    relative_path: Path
    size_in_bytes: Size | None = None
    is_directory: Annotated[StrictBool, Field(json_schema_extra=_nullable)] = False

    @model_validator(mode="after")
    def _is_one_or_the_other(self) -> Self:
        if self.is_directory and self.size_in_bytes is not None:
            msg = "sizeInBytes: is for files only"
            raise ValueError(msg)
        if self.relative_path == "/" and not self.is_directory:
            msg = "relativePath: / means everything and must have isDirectory true"
            raise ValueError(msg)
        return self


class SendModel(_Strict):
    """Send these objects over this route."""

    command_id: Id
    type: Annotated[Literal["send"], Field(json_schema_extra=_nullable)] = "send"
    route: Annotated[StrictStr, Field(min_length=1, max_length=256)]
    objects: Annotated[
        tuple[ObjectModel, ...],
        Field(min_length=1, json_schema_extra={"maxItems": MAX_OBJECTS}),
    ]
    metadata: Metadata | None = None
    expires_at: Annotated[
        Instant | None, Field(description="A delivery is not started after it.")
    ] = None

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        sizes = (each.size_in_bytes for each in self.objects)
        if sum(size for size in sizes if size is not None) > MAX_SIZE:
            msg = f"objects: sizes must add up to at most {MAX_SIZE}"
            raise ValueError(msg)
        return self


class CancelModel(_Strict):
    """End the command of this id, if it was not started."""

    command_id: Id
    type: Literal["cancel"]


class ResolveModel(_Strict):
    """Decide about a held command."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": _where("action", "adopt"),
            "then": {
                "properties": {"deliveryId": {"type": "string"}},
                "required": ["deliveryId"],
            },
            "else": {"properties": {"deliveryId": _NULL}},
        }
    )

    command_id: Id
    type: Literal["resolve"]
    action: Literal["adopt", "resend", "abandon"]
    delivery_id: Annotated[
        Annotated[StrictStr, Field(pattern=JET_ID_PATTERN)] | None,
        Field(description="Jet's delivery; with adopt, and only then."),
    ] = None

    @model_validator(mode="after")
    def _adopts_something(self) -> Self:
        if (self.action == "adopt") is not (self.delivery_id is not None):
            msg = "deliveryId: is required with adopt, and allowed only there"
            raise ValueError(msg)
        return self


class _ByType:
    """Tells in the schema which model is meant, so that one slip is one error."""

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Ask for the model that `type` names, and for no other."""
        send, cancel, resolve = handler(core_schema)["anyOf"]
        return {
            "type": "object",
            "properties": {"type": {"enum": ["send", "cancel", "resolve", None]}},
            "allOf": [
                {
                    "if": {"properties": {"type": {"enum": ["send", None]}}},
                    "then": send,
                },
                {"if": _where("type", "cancel"), "then": cancel},
                {"if": _where("type", "resolve"), "then": resolve},
            ],
        }


CommandModel = Annotated[SendModel | CancelModel | ResolveModel, _ByType()]
