"""Records of the commands topic to commands, and back for the command line."""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from types import NoneType
from typing import Annotated, Any, Literal, Self, assert_never

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
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict, JsonValue
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from jetworker.core.command import (
    Cancel,
    Command,
    CommandId,
    DeliveryId,
    ObjectSpec,
    Reject,
    Rejection,
    Resolution,
    Resolve,
    RouteName,
    Send,
)
from jetworker.core.errors import InvalidRecord
from jetworker.core.frozen import of_columns
from jetworker.wire import cloudevents, strict_json, times
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
    r"(\.[0-9]{1,64})?([Zz]|[+-][0-9]{2}:[0-9]{2})$"
)
_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,64})?([Zz]|[+-]\d\d:\d\d)",
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

MAX_BYTES = 1 << 20
_FRAME = 5
_ID = re.compile(ID_PATTERN)
_MODELS: dict[str, type[SendModel | CancelModel | ResolveModel]] = {
    "send": SendModel,
    "cancel": CancelModel,
    "resolve": ResolveModel,
}
# What paths have about which nothing is to be asked, and what not; each ends a line.
_PLAIN = bytes({*range(ord(" "), ord("~") + 1), ord("\n")} - {ord("\\")})
_ODD = ("//", "/\n", "/./", "/../", "/.\n", "/..\n")
_OBJECT_FIELDS = frozenset({"relativePath", "sizeInBytes", "isDirectory"})
_STAND_IN = {"relativePath": "/objects-that-were-read"}
_TOLD = 20
_NAME = 64
_RULES = {
    "missing": "is required",
    "extra_forbidden": "is not a field here",
    "string_type": "must be a string",
    "int_type": "must be an integer",
    "bool_type": "must be true or false",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "tuple_type": "must be an array",
    "too_short": "must not be empty",
    "string_too_short": "must not be empty",
}


def decode(
    value: bytes | None,
    headers: Sequence[tuple[str, bytes | None]],
    *,
    max_objects: int,
) -> Command:
    """
    Read one record; raises InvalidRecord, whatever the bytes are.

    Messages name the field and the rule and never repeat what the record said.
    """
    if value is None:
        message = "the record has no value"
        raise InvalidRecord(Reject(Rejection.INVALID_JSON, message))
    if len(value) > MAX_BYTES:
        message = f"the record's value is larger than {MAX_BYTES} bytes"
        raise InvalidRecord(Reject(Rejection.TOO_LARGE, message))
    body = _body(_unframed(value), headers)
    if not isinstance(body, dict):
        message = "a command is a JSON object"
        raise InvalidRecord(Reject(Rejection.INVALID_JSON, message))
    return _read(body, max_objects)


def encode(fields: dict[str, Any]) -> bytes:
    """Return the bytes of a command that the command line publishes."""
    return orjson.dumps(fields)


def _unframed(value: bytes) -> bytes:
    """
    Take off what Confluent's JSON serializer puts before the JSON.

    A zero byte, with which no JSON begins, and four bytes of a schema's id.
    """
    return value[_FRAME:] if value[:1] == b"\0" else value


def _body(value: bytes, headers: Sequence[tuple[str, bytes | None]]) -> Any:
    """Return the JSON of the command; raises InvalidRecord."""
    try:
        return cloudevents.data_of(value, headers)
    except strict_json.NotJson as exc:
        reject = Reject(Rejection.INVALID_JSON, str(exc))
        raise InvalidRecord(reject) from exc
    except cloudevents.BrokenEnvelope as exc:
        problems = ((exc.path, exc.rule),)
        raise _invalid(_glimpse(value), problems, message=str(exc)) from exc


def _glimpse(value: bytes) -> dict[str, Any]:
    """Return what seems to be the command in a broken envelope: its id is answered."""
    try:
        found = strict_json.loads(value)
    except strict_json.NotJson:
        return {}
    body = found.get("data", found) if isinstance(found, dict) else None
    return body if isinstance(body, dict) else {}


def _read(body: dict[str, Any], max_objects: int) -> Command:
    objects = body.get("objects")
    if isinstance(objects, list) and len(objects) > max_objects:
        rule = f"must be at most {max_objects}"
        raise _invalid(body, (("/objects", rule),), Rejection.TOO_MANY_OBJECTS)
    kind = body.get("type")
    kind = "send" if kind is None else kind
    model = _MODELS.get(kind) if isinstance(kind, str) else None
    if model is None:
        message = "must be send, cancel or resolve"
        raise _invalid(body, (("/type", message),))
    specs = _plain_objects(objects) if model is SendModel else None
    asked = body if specs is None else body | {"objects": [_STAND_IN]}
    try:
        parsed = model.model_validate(asked)
    except ValidationError as exc:
        raise _invalid(body, tuple(_problems(exc))) from exc
    match parsed:
        case SendModel():
            return _send(parsed, specs or _specs(parsed, body))
        case CancelModel():
            return Cancel(CommandId(parsed.command_id))
        case ResolveModel():
            delivery_id = parsed.delivery_id
            return Resolve(
                CommandId(parsed.command_id),
                Resolution(parsed.action),
                DeliveryId(delivery_id) if delivery_id else None,
            )
        case _:
            assert_never(parsed)


def _plain_objects(objects: object) -> tuple[ObjectSpec, ...] | None:
    """
    Read objects as nearly all are: thousands at a fraction of what models cost.

    None where there is anything about them that only the models judge, right or wrong.
    """
    if (
        not isinstance(objects, list)
        or not objects
        or set(map(type, objects)) != {dict}
    ):
        return None
    paths = [each.get("relativePath") for each in objects]
    sizes = [each.get("sizeInBytes") for each in objects]
    folders = [each.get("isDirectory", False) for each in objects]
    named = [name for name in _OBJECT_FIELDS for each in objects if name in each]
    is_plain = (
        sum(map(len, objects)) == len(named)
        and set(map(type, paths)) == {str}
        and set(map(type, sizes)) <= {int, NoneType}
        and set(map(type, folders)) == {bool}
        and _are_plain(paths)
        and _are_sizes(sizes, folders)
    )
    return tuple(of_columns(ObjectSpec, paths, sizes, folders)) if is_plain else None


def _are_plain(paths: list[str]) -> bool:
    """Whether nothing is to be asked about paths: printable ASCII, no . or .. segments."""
    text = "\n".join(paths) + "\n"
    return (
        text.startswith("/")
        and text.count("\n") == len(paths) == text.count("\n/") + 1
        and text.isascii()
        and not text.encode().translate(None, _PLAIN)
        and not any(each in text for each in _ODD)
        and len(max(paths, key=len)) <= MAX_PATH_BYTES
        and len(set(paths)) == len(paths)
    )


def _are_sizes(sizes: list[int | None], folders: list[bool]) -> bool:
    known = [size for size in sizes if size is not None]
    is_sized = any(folders) and any(
        folder and size is not None for size, folder in zip(sizes, folders, strict=True)
    )
    return min(known, default=0) >= 0 and sum(known) <= MAX_SIZE and not is_sized


def _specs(parsed: SendModel, body: dict[str, Any]) -> tuple[ObjectSpec, ...]:
    seen: set[str] = set()
    for number, each in enumerate(parsed.objects):
        if each.relative_path in seen:
            message = "occurs twice"
            raise _invalid(body, ((f"/objects/{number}/relativePath", message),))
        seen.add(each.relative_path)
    return tuple(
        ObjectSpec(each.relative_path, each.size_in_bytes, each.is_directory)
        for each in parsed.objects
    )


def _send(parsed: SendModel, specs: tuple[ObjectSpec, ...]) -> Send:
    metadata = None if parsed.metadata is None else orjson.dumps(parsed.metadata)
    return Send(
        command_id=CommandId(parsed.command_id),
        route=RouteName(parsed.route),
        objects=specs,
        fingerprint=_fingerprint(parsed, specs),
        metadata=metadata,
        expires_at=parsed.expires_at,
    )


def _fingerprint(parsed: SendModel, specs: tuple[ObjectSpec, ...]) -> bytes:
    """Return 16 bytes that are equal for equal content after parsing and defaults."""
    canonical = [
        parsed.route,
        [(each.relative_path, each.size, each.is_directory) for each in specs],
        parsed.metadata,
        times.exact(parsed.expires_at) if parsed.expires_at else None,
    ]
    encoded = orjson.dumps(canonical, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(encoded, digest_size=16).digest()


def _problems(exc: ValidationError) -> Iterable[tuple[str, str]]:
    found = exc.errors(include_url=False, include_input=False, include_context=False)
    # An array whose items are wrong is said to be empty too: that is no news.
    found = [p for p in found if p["type"] != "too_short" or len(found) == 1] or found
    for problem in found[:_TOLD]:
        path = [part for part in problem["loc"] if part != "function-after"]
        message = _rule(problem["type"], problem["msg"])
        # A rule between two fields is reported of the object that has both.
        field, _, rest = message.partition(": ")
        if rest and field.isalpha():
            path, message = [*path, field], rest
        yield _pointer(path), message


def _rule(kind: str, message: str) -> str:
    """Say a rule in the words of the contract, not of the library."""
    if kind in _RULES:
        return _RULES[kind]
    message = message.removeprefix("Value error, ")
    return re.sub("^(Input|String|Value) should", "must", message)


def _invalid(
    body: dict[str, Any],
    problems: tuple[tuple[str, str], ...],
    reason: Rejection = Rejection.INVALID_COMMAND,
    message: str | None = None,
) -> InvalidRecord:
    told = message or "; ".join(
        f"{path.strip('/') or 'it'}: {rule}" for path, rule in problems[:3]
    )
    command_id = body.get("commandId")
    readable = isinstance(command_id, str) and bool(_ID.fullmatch(command_id))
    reject = Reject(
        reason,
        told,
        CommandId(str(command_id)) if readable else None,
        _readable_metadata(body.get("metadata")),
        problems,
    )
    return InvalidRecord(reject)


def _readable_metadata(metadata: object) -> bytes | None:
    if not isinstance(metadata, dict):
        return None
    encoded = orjson.dumps(metadata)
    return encoded if len(encoded) <= MAX_METADATA_BYTES else None


def _pointer(path: Sequence[str | int]) -> str:
    """Return a JSON Pointer (RFC 6901)."""
    escaped = (_short(part).replace("~", "~0").replace("/", "~1") for part in path)
    return "".join(f"/{part}" for part in escaped)


def _short(part: str | int) -> str:
    """Bound a name that the record chose: its answer must fit into a transaction."""
    name = str(part)
    return name if len(name) <= _NAME else f"{name[:_NAME]}…"
