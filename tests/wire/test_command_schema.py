"""The published schema of commands refuses what the worker refuses, and takes the rest."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import TypeAdapter

from jetworker.core.errors import InvalidRecord
from jetworker.wire.command_model import MAX_OBJECTS, CommandModel
from jetworker.wire.commands import decode

SCHEMA = TypeAdapter[Any](CommandModel).json_schema(by_alias=True)
PUBLISHED = Draft202012Validator(SCHEMA)
LARGEST = 2**53 - 1
SEND: dict[str, Any] = {
    "commandId": "c-1",
    "route": "r",
    "objects": [{"relativePath": "/a"}],
}
CANCEL = {"commandId": "c-1", "type": "cancel"}
RESOLVE = {"commandId": "c-1", "type": "resolve", "action": "resend"}
ADOPT = {"commandId": "c-1", "type": "resolve", "action": "adopt", "deliveryId": "d-1"}


def errors(body: Any) -> list[str]:
    """Return what the schema has against it, by its pointer."""
    return [f"/{'/'.join(map(str, e.path))}" for e in PUBLISHED.iter_errors(body)]


def is_read(body: Any) -> bool:
    """Whether the worker reads it as a command."""
    try:
        decode(orjson.dumps(body), (), max_objects=MAX_OBJECTS)
    except InvalidRecord:
        return False
    return True


def send(**fields: Any) -> dict[str, Any]:
    return SEND | fields


def sent(path: str, **fields: Any) -> dict[str, Any]:
    return SEND | {"objects": [{"relativePath": path} | fields]}


NO_OBJECTS: list[Any] = [[], None, {}]
TAKEN: list[Any] = [
    *(SEND, CANCEL, RESOLVE, ADOPT),
    *(send(type="send"), send(type=None)),
    *(send(metadata=None), send(metadata={}), send(metadata={"a": [None]})),
    *(send(expiresAt=None), send(expiresAt="2026-12-01t00:00:00.5+01:00")),
    send(commandId="a.B_9:-" + "x" * 121),
    *(RESOLVE | {"action": "abandon"}, RESOLVE | {"deliveryId": None}),
    ADOPT | {"deliveryId": "-._x"},
    *(sent("/", isDirectory=True), sent("/a", isDirectory=True, sizeInBytes=None)),
    *(sent("/a", isDirectory=None), sent("/a", isDirectory=False, sizeInBytes=0)),
    *(sent("/a", sizeInBytes=LARGEST), sent("/a", sizeInBytes=5.0)),
    *(sent(f"/{name}") for name in ("a b", "é\u2028", ".a", "..a", "...", "a..", "~")),
    *(sent("/a/.b/..c/d"), sent("/" + "x" * 1023)),
]
REFUSED: list[tuple[Any, str]] = [
    (send(typo=1), "/"),
    ([], "/"),
    *((send(type=kind), "/type") for kind in ("sned", 3, "")),
    *((send(commandId=name), "/commandId") for name in ("", "a b", "x" * 129, 3)),
    *((send(route=name), "/route") for name in ("", "x" * 257, 3)),
    *((send(objects=each), "/objects") for each in NO_OBJECTS),
    (send(objects=[3]), "/objects/0"),
    (send(metadata=[1]), "/metadata"),
    *(
        (send(expiresAt=moment), "/expiresAt")
        for moment in ("2026-12-01", "2026-12-01T00:00:00", "", 1790000000)
    ),
    *(
        (send(expiresAt=f"2026-12-01T00:00:00{offset}"), "/expiresAt")
        for offset in ("+00:60", "-05:99", "+24:00")
    ),
    (sent("/a", size=1), "/objects/0"),
    (sent("/"), "/objects/0"),
    (sent("/", isDirectory=False), "/objects/0/isDirectory"),
    (sent("/a", isDirectory=1), "/objects/0/isDirectory"),
    (sent("/a", isDirectory=True, sizeInBytes=1), "/objects/0/sizeInBytes"),
    *(
        (sent("/a", sizeInBytes=size), "/objects/0/sizeInBytes")
        for size in (-1, 1.5, "5", True, LARGEST + 1)
    ),
    *(
        (sent(path), "/objects/0/relativePath")
        for path in (
            *("a", "//", "/a/", "/a//b", "/.", "/..", "/./b", "/a/../b", "/a/."),
            *(
                "/a\\b",
                "/\n",
                "/a\n",
                "/a\0",
                "/a\x7f",
                "/a\x85",
                "/a\u202e",
                "/\u2069",
            ),
            "/" + "x" * 1024,
        )
    ),
    (CANCEL | {"route": "r"}, "/"),
    (CANCEL | {"commandId": ""}, "/commandId"),
    (RESOLVE | {"action": "retry"}, "/action"),
    (RESOLVE | {"deliveryId": "d-1"}, "/deliveryId"),
    (RESOLVE | {"action": "adopt"}, "/"),
    (ADOPT | {"deliveryId": "not/one"}, "/deliveryId"),
    *(({k: v for k, v in SEND.items() if k != name}, "/") for name in SEND),
    ({"type": "resolve", "commandId": "c-1", "deliveryId": None}, "/"),
]


@pytest.mark.parametrize("body", TAKEN)
def test_what_the_worker_takes_is_valid(body: Any) -> None:
    assert (is_read(body), errors(body)) == (True, [])


@pytest.mark.parametrize(("body", "pointer"), REFUSED)
def test_what_the_worker_refuses_is_not_valid(body: Any, pointer: str) -> None:
    assert not is_read(body)
    assert set(errors(body)) == {pointer}


def test_as_many_objects_as_the_contract_says_are_valid_and_no_more() -> None:
    """The schema's number alone is looked at: to validate so many takes seconds."""
    most = send(objects=[{"relativePath": f"/{n}"} for n in range(MAX_OBJECTS)])
    more = send(objects=[*most["objects"], {"relativePath": "/one-more"}])

    assert (is_read(most), is_read(more)) == (True, False)
    assert SCHEMA["$defs"]["SendModel"]["properties"]["objects"]["maxItems"] == 10_000


@pytest.mark.parametrize("body", [SEND, CANCEL, RESOLVE, ADOPT])
def test_a_misspelt_field_is_one_error_that_names_it(body: dict[str, Any]) -> None:
    found = list(PUBLISHED.iter_errors(body | {"objetcs": []}))

    assert [each.message for each in found] == [
        "Additional properties are not allowed ('objetcs' was unexpected)"
    ]


@pytest.mark.parametrize(
    "body",
    [
        send(objects=SEND["objects"] * 2),
        send(
            objects=[
                {"relativePath": "/a", "sizeInBytes": LARGEST},
                {"relativePath": "/b", "sizeInBytes": 1},
            ]
        ),
        sent("/" + "é" * 512),
        send(metadata={"a": "x" * 4096}),
        send(expiresAt="2026-13-01T00:00:00Z"),
    ],
    ids=["twice", "sum", "bytes of a path", "bytes of metadata", "no such day"],
)
def test_what_a_schema_cannot_say_only_the_worker_refuses(body: Any) -> None:
    """These are the exceptions that schemas/README.md names."""
    assert (is_read(body), errors(body)) == (False, [])


@given(st.text(st.sampled_from("/.ab\\\n\x00\x9f\u202a"), max_size=7))
def test_any_path_is_judged_alike(path: str) -> None:
    assert is_read(sent(path)) == (errors(sent(path)) == [])


def test_patterns_keep_to_what_every_language_reads() -> None:
    """Go's expressions know no look-ahead and no \\u; one of them makes all unusable."""
    patterns = [e for e in _found(SCHEMA, "pattern") if isinstance(e, str)]

    assert patterns
    assert [each for each in patterns if "(?" in each or "\\u" in each] == []


def _found(schema: Any, name: str) -> list[Any]:
    if isinstance(schema, dict):
        inner = [each for value in schema.values() for each in _found(value, name)]
        return [*inner, *([schema[name]] if name in schema else [])]
    if isinstance(schema, list):
        return [each for value in schema for each in _found(value, name)]
    return []
