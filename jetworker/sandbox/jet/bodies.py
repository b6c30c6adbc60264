"""Request bodies become values, or a refusal that names the field and the rule."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import orjson

from jetworker.sandbox.jet.refusal import Refused

Json: TypeAlias = dict[str, Any]
Rule: TypeAlias = tuple[Callable[[Any], bool], str]


def is_number(value: object) -> bool:
    """Whether a value is a finite number that is not negative."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 <= value < float("inf")


def is_whole(value: object) -> bool:
    """Whether a value is an integer that is not negative."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_text(value: object) -> bool:
    """Whether a value is a text that is not empty."""
    return isinstance(value, str) and bool(value)


def or_none(rule: Rule) -> Rule:
    """Return a rule that lets null pass too."""
    check, text = rule
    return lambda value: value is None or check(value), f"{text} or null"


NUMBER: Rule = (is_number, "a number, 0 or more")
WHOLE: Rule = (is_whole, "a whole number, 0 or more")
POSITIVE: Rule = (lambda v: is_whole(v) and v > 0, "a whole number, 1 or more")
TEXT: Rule = (is_text, "a text")
FLAG: Rule = (lambda v: isinstance(v, bool), "true or false")
OBJECT: Rule = (lambda v: isinstance(v, dict), "a JSON object")
LIST: Rule = (lambda v: isinstance(v, list) and bool(v), "a list that is not empty")


def one_of(allowed: Sequence[str]) -> Rule:
    """Return the rule that a value is one of these words."""
    return lambda value: value in allowed, "one of " + ", ".join(allowed)


def decode(body: bytes) -> Json:
    """Return the JSON object of a request body."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise Refused(400, f"the body is not JSON: {exc}") from exc
    if not isinstance(value, dict):
        raise Refused(400, "the body must be a JSON object")
    return value


def check(
    fields: Mapping[str, Any], rules: Mapping[str, Rule], where: str = ""
) -> None:
    """Refuse unknown fields and those that break their rule."""
    for name, value in fields.items():
        if name not in rules:
            known = ", ".join(sorted(rules))
            raise Refused(400, f"{where}{name} is not known here; known are {known}")
        is_right, text = rules[name]
        if not is_right(value):
            raise Refused(400, f"{where}{name} must be {text}")


def required(fields: Mapping[str, Any], name: str, rule: Rule, where: str = "") -> Any:
    """Return a field that must be there and obey its rule."""
    is_right, text = rule
    if name not in fields or not is_right(fields[name]):
        raise Refused(400, f"{where}{name} is required and must be {text}")
    return fields[name]


def optional(
    fields: Mapping[str, Any], name: str, rule: Rule, default: Any, where: str = ""
) -> Any:
    """Return a field that may be missing, but is right if it is there."""
    return required(fields, name, rule, where) if name in fields else default
