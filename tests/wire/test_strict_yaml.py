"""YAML is read as it was meant, or not at all."""

import pytest

from jetworker.core.command import RouteName
from jetworker.core.errors import ConfigurationError
from jetworker.wire import routes, strict_yaml


@pytest.mark.parametrize("text", ["1:30", "12:00", "1:30:00", "1:30.5"])
def test_a_time_of_day_is_no_number_of_minutes(text: str) -> None:
    """YAML 1.1 counts in sixties: a deadline of 12:00 was one of twelve minutes."""
    assert strict_yaml.loads(text.encode()) == text

    with pytest.raises(ConfigurationError, match=r"a\.deadline: not a duration"):
        routes.decode(f"routes: {{a: {{job_id: j, deadline: {text}}}}}".encode(), "f")


def test_numbers_are_read_as_numbers() -> None:
    text = b"routes: {a: {job_id: j, deadline: 1.5, max_active: 7}}"

    route = routes.decode(text, "f")[RouteName("a")]

    assert route.max_active == 7
    assert route.deadline is not None
    assert route.deadline.total_seconds() == 1.5


@pytest.mark.parametrize(
    "text",
    [
        "a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}",
        "a: &a {x: 1}\nc: &c {y: 2}\nb: {<<: [*a, *c], x: 3}",
        "a: &a {x: 1, y: 2}\nc: &c {<<: *a, x: 3}\nb: {<<: *c}",
        # What is further out is made first, and merges what is not made yet.
        "a: {c: &c {<<: {x: 1, y: 2}, x: 3}}\nb: {<<: *c}",
    ],
)
def test_what_is_merged_may_be_said_otherwise(text: str) -> None:
    assert strict_yaml.loads(text.encode())["b"] == {"x": 3, "y": 2}


@pytest.mark.parametrize(
    "text", ["a: {<<: {x: 1}, y: 1, y: 2}", "a: {<<: {x: 1, x: 2}}"]
)
def test_a_key_beside_a_merge_or_within_it_is_not_said_twice(text: str) -> None:
    with pytest.raises(strict_yaml.NotYaml, match=r"^[xy] occurs twice"):
        strict_yaml.loads(text.encode())


def test_routes_may_share_what_they_have_in_common() -> None:
    text = b"""
routes:
  one: &common
    job_name: one
    max_active: 7
  other:
    <<: *common
    job_name: other
"""
    found = routes.decode(text, "f")

    assert [each.max_active for each in found.values()] == [7, 7]
    assert [each.job_name for each in found.values()] == ["one", "other"]


@pytest.mark.parametrize("value", ['!!int ""', "!!bool x", "!!timestamp x"])
def test_a_value_that_is_not_of_its_tag_is_told(value: str) -> None:
    with pytest.raises(strict_yaml.NotYaml):
        strict_yaml.loads(f"a: {value}".encode())
