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
