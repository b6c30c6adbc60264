"""Records of the commands topic to commands, and back for the command line."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from types import NoneType
from typing import Any, assert_never

import orjson
from pydantic import ValidationError

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
from jetworker.wire.command_model import (
    ID_PATTERN,
    MAX_METADATA_BYTES,
    MAX_PATH_BYTES,
    MAX_SIZE,
    CancelModel,
    ResolveModel,
    SendModel,
)

MAX_BYTES = 1 << 20
_FRAME = 5  # bytes: a zero and the id of a schema
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
_TOLD = 20  # problems in an answer
_NAME = 64  # letters of a name
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
_PATTERNS = {
    ID_PATTERN: "must be 1 to 128 of A-Z a-z 0-9 . _ : -",
    "^/": "must begin with /",
}


def decode(
    value: bytes | None,
    headers: Sequence[tuple[str, bytes | None]],
    *,
    max_objects: int,
) -> Command:
    """
    Read one record; raises InvalidRecord, whatever the bytes are.

    Messages name the field and the rule and never repeat a value; names that the record
    chose are cut short.
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
    if kind == "string_pattern_mismatch":
        pattern = message.partition("'")[2].rstrip("'")
        return _PATTERNS.get(pattern, f"must match pattern '{pattern}'")
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
