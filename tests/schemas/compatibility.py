"""Whether everything that is valid by one JSON Schema is valid by another."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Schema = Mapping[str, Any]

_NOTES = {"title", "description", "examples", "default", "$id", "$schema", "$defs"}
_AT_LEAST = {"minLength", "minimum", "exclusiveMinimum", "minItems", "minProperties"}
_AT_MOST = {"maxLength", "maximum", "exclusiveMaximum", "maxItems", "maxProperties"}
_SAME = {"pattern", "format", "propertyNames"}
_READ = {"type", "enum", "const", "properties", "required", "additionalProperties"}
_RULES = {"if", "then", "else", "allOf", "not"}
_KNOWN = (
    _NOTES | _AT_LEAST | _AT_MOST | _SAME | _READ | _RULES | {"items", "anyOf", "$ref"}
)

# Patterns that take all that an older one took; a test draws from the older.
WIDER_PATTERNS = {(r"^[A-Za-z0-9-]{1,64}$", r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$")}


class UnknownKeyword(ValueError):
    """A schema says something that is not understood here: teach it, do not guess."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A schema within a document, and where it stands."""

    document: Schema
    schema: Schema
    path: str

    @classmethod
    def of(cls, document: Schema, schema: Schema, path: str) -> "_Part":
        """Follow references, and refuse what is not understood."""
        while "$ref" in schema:
            name = schema["$ref"].removeprefix("#/$defs/")
            schema = document["$defs"][name]
        unknown = schema.keys() - _KNOWN
        if unknown:
            msg = f"{path}: {sorted(unknown)}"
            raise UnknownKeyword(msg)
        return cls(document, schema, path)

    def at(self, schema: Schema, name: str) -> "_Part":
        """Return a schema below this one."""
        return _Part.of(self.document, schema, f"{self.path}/{name}")


def problems(narrow: Schema, wide: Schema) -> list[str]:
    """Return where *narrow* allows what *wide* does not; none: all of it is allowed."""
    return list(_compare(_Part.of(narrow, narrow, ""), _Part.of(wide, wide, "")))


def _compare(narrow: _Part, wide: _Part) -> Iterator[str]:
    if "anyOf" in narrow.schema:
        for number, each in enumerate(narrow.schema["anyOf"]):
            yield from _compare(narrow.at(each, str(number)), wide)
        return
    if "anyOf" in wide.schema:
        fits = [
            not list(_compare(narrow, wide.at(each, "")))
            for each in wide.schema["anyOf"]
        ]
        if not any(fits):
            yield f"{narrow.path}: no alternative takes it"
        return
    yield from _compare_values(narrow, wide)
    yield from _compare_rules(narrow, wide)
    yield from _compare_limits(narrow, wide)
    yield from _compare_objects(narrow, wide)
    if "items" in wide.schema:
        inside = narrow.at(narrow.schema.get("items", {}), "items")
        yield from _compare(inside, wide.at(wide.schema["items"], "items"))


def _compare_rules(narrow: _Part, wide: _Part) -> Iterator[str]:
    """Take what is said by rules for kept where it is the same, or decided already."""
    if "not" in wide.schema and narrow.schema.get("not") != wide.schema["not"]:
        yield f"{narrow.path}: not {wide.schema['not']}"
    known = narrow.schema.get("allOf", ())
    for each in wide.schema.get("allOf", ()):
        if each not in known:
            yield from _compare(narrow, wide.at(each, ""))
    if "if" not in wide.schema or _rule(narrow.schema) == _rule(wide.schema):
        return
    holds = _holds(narrow.schema, wide.schema["if"])
    if holds is not False:
        yield from _compare(narrow, wide.at(wide.schema.get("then", {}), ""))
    if holds is not True:
        yield from _compare(narrow, wide.at(wide.schema.get("else", {}), ""))


def _rule(schema: Schema) -> list[Any]:
    return [schema.get(name) for name in ("if", "then", "else")]


def _holds(schema: Schema, condition: Schema) -> bool | None:
    """Whether a condition on one field holds of all, of none, or (None) of some."""
    ((name, wanted),) = condition["properties"].items()
    is_there = name in schema.get("required", ())
    is_needed = name in condition.get("required", ())
    given = _values(schema.get("properties", {}).get(name, {}))
    allowed = _values(wanted)
    if given is None or allowed is None:
        return None
    if given <= allowed and (is_there or not is_needed):
        return True
    return False if not given & allowed and (is_there or is_needed) else None


def _compare_values(narrow: _Part, wide: _Part) -> Iterator[str]:
    types = narrow.schema.get("type"), wide.schema.get("type")
    if types[1] is not None and types not in {
        (types[1], types[1]),
        ("integer", "number"),
    }:
        yield f"{narrow.path}: type {types[0]}, not {types[1]}"
    allowed, given = _values(wide.schema), _values(narrow.schema)
    if allowed is not None and not (given is not None and given <= allowed):
        yield f"{narrow.path}: one of {_listed(given)}, not of {_listed(allowed)}"


def _values(schema: Schema) -> set[Any] | None:
    if "const" in schema:
        return {schema["const"]}
    return set(schema["enum"]) if "enum" in schema else None


def _listed(values: set[Any] | None) -> str:
    return "anything" if values is None else ", ".join(sorted(map(str, values)))


def _compare_limits(narrow: _Part, wide: _Part) -> Iterator[str]:
    for name in wide.schema.keys() & (_AT_LEAST | _AT_MOST | _SAME):
        limit, given = wide.schema[name], narrow.schema.get(name)
        if name in _SAME:
            is_kept = given == limit or (given, limit) in WIDER_PATTERNS
        elif given is None:
            is_kept = False
        else:
            is_kept = given >= limit if name in _AT_LEAST else given <= limit
        if not is_kept:
            yield f"{narrow.path}: {name} {given}, not {limit}"


def _compare_objects(narrow: _Part, wide: _Part) -> Iterator[str]:
    has: Schema = narrow.schema.get("properties", {})
    takes: Schema = wide.schema.get("properties", {})
    others = wide.schema.get("additionalProperties", True)
    for name in set(wide.schema.get("required", ())) - set(
        narrow.schema.get("required", ())
    ):
        yield f"{narrow.path}/{name}: required"
    for name in has.keys() & takes.keys():
        yield from _compare(narrow.at(has[name], name), wide.at(takes[name], name))
    for name in has.keys() - takes.keys():
        if others is False:
            yield f"{narrow.path}/{name}: not taken"
        elif others is not True:
            yield from _compare(narrow.at(has[name], name), wide.at(others, name))
    yield from _compare_others(narrow, wide, takes.keys() - has.keys())


def _compare_others(narrow: _Part, wide: _Part, missing: set[str]) -> Iterator[str]:
    """Compare what may stand under names that *narrow* does not have."""
    given = narrow.schema.get("additionalProperties", True)
    if given is False or wide.schema.get("type") != "object":
        return
    for name in sorted(missing):
        yield f"{narrow.path}/{name}: not described any more"
    others = wide.schema.get("additionalProperties", True)
    if others is False:
        yield f"{narrow.path}: takes further names"
    elif others is not True:
        inside = narrow.at({} if given is True else given, "*")
        yield from _compare(inside, wide.at(others, "*"))
