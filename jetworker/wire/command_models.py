"""The commands as models: what is decoded is what the schema says."""

import re
import unicodedata
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    model_validator,
)
from pydantic.alias_generators import to_camel

from jetworker.wire.jet_id import JET_ID_PATTERN

ID_PATTERN = r"^[A-Za-z0-9._:-]{1,128}$"
MAX_PATH_BYTES = 1024
MAX_METADATA_BYTES = 4096
MAX_SIZE = 2**63 - 1
_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)",
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
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError) as exc:  # near year 1 or 9999, UTC may not exist
        msg = "is not a day or time that exists"
        raise ValueError(msg) from exc


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
    Field(json_schema_extra={"format": "date-time"}),
]


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

    relative_path: Path
    size_in_bytes: Annotated[StrictInt, Field(ge=0, le=MAX_SIZE)] | None = None
    is_directory: StrictBool = False

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
    type: Literal["send"] = "send"
    route: Annotated[StrictStr, Field(min_length=1, max_length=256)]
    objects: Annotated[tuple[ObjectModel, ...], Field(min_length=1)]
    metadata: Metadata | None = None
    expires_at: Annotated[
        Instant | None, Field(description="A delivery is not started after it.")
    ] = None


class CancelModel(_Strict):
    """End the command of this id, if it was not started."""

    command_id: Id
    type: Literal["cancel"]


class ResolveModel(_Strict):
    """Decide about a held command."""

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
