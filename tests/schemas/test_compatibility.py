"""No change may break who publishes commands or who reads events."""

import re
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from tests.schemas.compatibility import WIDER_PATTERNS, UnknownKeyword, problems
from tests.support.documents import SCHEMAS

FOLDER = Path(__file__).parents[2] / "schemas"
RELEASED = sorted(
    (FOLDER / "released").iterdir(), key=lambda folder: Version(folder.name)
)
FROZEN = [
    (folder.name, path.relative_to(folder).as_posix())
    for folder in RELEASED
    for path in sorted(folder.rglob("*.json"))
]


# Of commands the schema took what every worker refused: whoever wrote that is told so
# earlier now, and nobody's command is answered in another way. Sizes beyond 2**53 - 1,
# which no reader of JSON holds exactly, ended the worker.
EXCEPTED = {
    "commands/command.v1.schema.json": {
        "/0/objects: maxItems",
        "/0/objects/items/sizeInBytes/0: type integer, not null",  # of a directory
        "/0/objects/items/sizeInBytes/0: no alternative takes it",
        "/0/objects/items/isDirectory: required",  # of /
        "/0/objects/items/isDirectory: one of anything, not of True",
        "/0/objects/items/relativePath: not",
        "/0/objects/items/relativePath: pattern",
        "/0/expiresAt/0: no alternative takes it",
        "/2/deliveryId: required",  # to adopt
        "/2/deliveryId/1: type null, not string",
        "/2/deliveryId/0: type string, not null",  # else
    }
}


def released(version: str, name: str) -> Any:
    """Return a schema as it was released."""
    return orjson.loads((FOLDER / "released" / version / name).read_bytes())


@pytest.mark.parametrize(("version", "name"), FROZEN, ids=map("-".join, FROZEN))
def test_what_was_released_is_still_understood(version: str, name: str) -> None:
    """Events are compared the other way round: what we write must fit what was read."""
    then, now = released(version, name), SCHEMAS[name]
    is_written = name.startswith(("events/", "cli/"))

    broken = problems(now, then) if is_written else problems(then, now)

    excepted = EXCEPTED.get(name, set())
    assert [each for each in broken if not each.startswith(tuple(excepted))] == []


@pytest.mark.parametrize(("older", "wider"), WIDER_PATTERNS)
@given(st.data())
def test_a_widened_pattern_takes_all_that_it_took(
    older: str, wider: str, data: st.DataObject
) -> None:
    assert re.search(wider, data.draw(st.from_regex(older, fullmatch=True)))


def test_no_schema_that_was_released_is_gone() -> None:
    assert {name for _, name in FROZEN} <= set(SCHEMAS)


COMMANDS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "maxLength": 9, "pattern": "^a"},
        "how": {"enum": ["a", "b"]},
        "size": {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "null"}]},
        "parts": {"type": "array", "items": {"$ref": "#/$defs/Part"}, "maxItems": 3},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
    },
    "required": ["id"],
    "additionalProperties": False,
    "$defs": {"Part": {"type": "object", "properties": {"n": {"type": "integer"}}}},
}

Change = Callable[[dict[str, Any]], object]

NARROWED: dict[str, Change] = {
    "a new required field": lambda s: s["required"].append("how"),
    "a field that is taken no more": lambda s: s["properties"].pop("how"),
    "a shorter text": lambda s: s["properties"]["id"].update(maxLength=8),
    "a new limit": lambda s: s["properties"]["id"].update(minLength=1),
    "another pattern": lambda s: s["properties"]["id"].update(pattern="^b"),
    "another type": lambda s: s["properties"]["id"].update(type="integer"),
    "a value less": lambda s: s["properties"]["how"].update(enum=["a"]),
    "an alternative less": lambda s: s["properties"]["size"]["anyOf"].pop(),
    "a higher least": lambda s: s["properties"]["size"]["anyOf"][0].update(minimum=1),
    "another type of a part": lambda s: s["$defs"]["Part"]["properties"].update(
        n={"type": "string"}
    ),
    "parts of another kind": lambda s: s["properties"]["parts"].update(
        items={"type": "string"}
    ),
    "labels of another type": lambda s: s["properties"]["labels"].update(
        additionalProperties={"type": "integer"}
    ),
    "no labels": lambda s: s["properties"]["labels"].update(additionalProperties=False),
}
WIDENED: dict[str, Change] = {
    "nothing": lambda _: None,
    "a new optional field": lambda s: s["properties"].update(new={"type": "string"}),
    "an optional field": lambda s: s["required"].clear(),
    "a longer text": lambda s: s["properties"]["id"].update(maxLength=10),
    "no pattern": lambda s: s["properties"]["id"].pop("pattern"),
    "a value more": lambda s: s["properties"]["how"].update(enum=["a", "b", "c"]),
    "any number": lambda s: s["properties"]["size"]["anyOf"].append({"type": "number"}),
    "further names": lambda s: s.update(additionalProperties=True),
    "another description": lambda s: s.update(description="better"),
}


def changed(change: Change) -> dict[str, Any]:
    """Return the commands' schema with a change."""
    schema = deepcopy(COMMANDS)
    change(schema)
    return schema


@pytest.mark.parametrize("what", NARROWED)
def test_what_takes_less_breaks_who_wrote_more(what: str) -> None:
    assert problems(COMMANDS, changed(NARROWED[what])) != []


@pytest.mark.parametrize("what", WIDENED)
def test_what_takes_more_breaks_nobody(what: str) -> None:
    assert problems(COMMANDS, changed(WIDENED[what])) == []


def test_an_event_may_gain_fields_but_not_lose_or_loosen_them() -> None:
    event: dict[str, Any] = {
        "type": "object",
        "properties": {"state": {"enum": ["a", "b"]}, "at": {"type": "string"}},
        "required": ["state"],
    }
    gained = deepcopy(event) | {
        "properties": event["properties"] | {"new": {"type": "integer"}}
    }
    lost = event | {"properties": {"state": {"enum": ["a", "b"]}}}
    loosened = event | {
        "properties": event["properties"] | {"state": {"enum": ["a", "b", "c"]}}
    }
    optional = event | {"required": []}

    assert problems(gained, event) == []
    assert problems(lost, event) == ["/at: not described any more"]
    assert problems(loosened, event) == ["/state: one of a, b, c, not of a, b"]
    assert problems(optional, event) == ["/state: required"]


def test_a_keyword_that_is_not_understood_is_no_pass() -> None:
    with pytest.raises(UnknownKeyword):
        problems(COMMANDS, {"oneOf": []})


BY_TYPE: dict[str, Any] = {
    "allOf": [
        {
            "if": {"properties": {"type": {"const": name}}, "required": ["type"]},
            "then": {"required": [name]},
        }
        for name in ("a", "b")
    ]
}


@pytest.mark.parametrize(
    ("narrow", "broken"),
    [
        ({"type": {"const": "a"}, "a": {}}, ["/a: required"]),
        ({"type": {"const": "c"}}, []),
        ({"type": {"enum": ["a", "c"]}}, ["/a: required"]),
        ({"type": {}}, ["/a: required", "/b: required"]),
    ],
)
def test_a_rule_counts_where_its_condition_may_hold(
    narrow: dict[str, Any], broken: list[str]
) -> None:
    assert problems({"properties": narrow}, BY_TYPE) == broken
    assert problems({"properties": narrow} | BY_TYPE, BY_TYPE) == []


@pytest.mark.parametrize("rule", [{"not": {"const": 1}}, {"if": {}, "then": {}}])
def test_the_same_rule_breaks_nobody(rule: dict[str, Any]) -> None:
    assert problems(rule, rule) == []


def test_what_is_newly_ruled_out_breaks_who_wrote_it() -> None:
    assert problems({}, {"not": {"const": 1}}) == [": not {'const': 1}"]
