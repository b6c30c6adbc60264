"""Most objects are read without a model each: into the same, or the same refusal."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jetworker.core.command import ObjectSpec, Reject, Send
from jetworker.core.errors import InvalidRecord
from jetworker.wire import strict_json
from jetworker.wire.command_model import MAX_SIZE
from jetworker.wire.commands import decode

# With a letter that is no ASCII in one of them, all are read by the models.
FOR_THE_MODELS = {"relativePath": "/zoë"}

PARTS = st.sampled_from(
    ["a", "b.mov", ".", "..", "...", ".a", "", " ", "\\", "\n", "é"]
)
PATHS = st.lists(PARTS, max_size=3).map(lambda parts: "/" + "/".join(parts))
PLAIN = st.sampled_from(["/a", "/b", "/c/d", "/..."])
SIZES = st.sampled_from([0, 1, 2.0, 0.5, -1, MAX_SIZE, MAX_SIZE + 1, None, True, "1"])
OBJECTS = st.fixed_dictionaries(
    {
        "relativePath": PLAIN
        | PATHS
        | st.sampled_from(["/" + "x" * 1024, "a", None, 7, "/a\n"])
    },
    optional={
        "sizeInBytes": SIZES,
        "isDirectory": st.sampled_from([True, False, None, 0, "true"]),
        "else": st.none() | st.just(1),
    },
)
NO_OBJECTS: list[Any] = [None, "/a", [], {}]
ODD = st.sampled_from(NO_OBJECTS)


def read(objects: list[Any]) -> Send | Reject:
    body = {"commandId": "c-1", "route": "archive", "objects": objects}
    try:
        found = decode(json.dumps(body).encode(), [], max_objects=20)
    except InvalidRecord as exc:
        return exc.reject
    assert isinstance(found, Send)
    return found


@given(
    st.lists(OBJECTS, min_size=1, max_size=3)
    | st.lists(OBJECTS | ODD, min_size=1, max_size=19)
)
@example([{"relativePath": "/a", "sizeInBytes": 1, "isDirectory": True}])
@example([{"relativePath": "/a", "sizeInBytes": -1}])
@example([{"relativePath": "/a", "sizeInBytes": True}])
@example([{"relativePath": "/a", "isDirectory": 1}])
@example([{"relativePath": "/a"}, {"relativePath": "/a"}])
@example([{"relativePath": f"/{n}", "sizeInBytes": MAX_SIZE} for n in range(2)])
def test_objects_are_read_as_the_models_read_them(objects: list[Any]) -> None:
    alone, modelled = read(objects), read([*objects, FOR_THE_MODELS])

    if isinstance(alone, Send) and isinstance(modelled, Send):
        assert alone.objects == modelled.objects[:-1]
    else:
        assert alone == modelled


@pytest.mark.parametrize("number", [1, 3])
def test_plain_objects_are_read_in_their_order(number: int) -> None:
    objects: list[dict[str, Any]] = [
        {"relativePath": "/b/frame.01.dpx", "sizeInBytes": 7},
        {"relativePath": "/a", "isDirectory": True},
        {"relativePath": "/...", "sizeInBytes": None},
    ]

    found = read(objects[:number])

    assert isinstance(found, Send)
    specs = ObjectSpec("/b/frame.01.dpx", 7), ObjectSpec("/a", None, is_directory=True)
    assert found.objects == (*specs, ObjectSpec("/..."))[:number]


BLANKS = st.sampled_from(["", " ", "  ", "\n"])
TEXTS = st.text(st.sampled_from(', :"a'), max_size=4).map(json.dumps)


@given(TEXTS, st.lists(TEXTS, min_size=2, max_size=2), BLANKS, BLANKS)
def test_a_key_that_occurs_twice_is_refused_however_it_is_written(
    key: str, values: list[str], after_comma: str, after_colon: str
) -> None:
    members = [f"{key}:{after_colon}{value}" for value in values]
    value = f"[{{{f',{after_comma}'.join(members)}}}, 1]"

    with pytest.raises(strict_json.NotJson):
        strict_json.loads(value.encode())


@pytest.mark.parametrize("blank", ["", " "])
def test_a_number_that_would_be_changed_is_refused(blank: str) -> None:
    with pytest.raises(strict_json.NotJson):
        strict_json.loads(f'{{"a":{blank}123456789012345678901}}'.encode())


@pytest.mark.parametrize("number", ["1.10", "1e2", "1.0e0", "-0.0"])
def test_a_number_written_otherwise_is_still_that_number(number: str) -> None:
    assert strict_json.loads(f'{{"a": {number}}}'.encode()) == {"a": float(number)}
