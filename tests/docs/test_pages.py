"""The reference pages say what the program says."""

import pytest

from jetworker.core.command import Rejection
from jetworker.core.delivery import EventType, ReasonCode
from tests.docs.pages import DOCS, EVENTS, REASONS, REJECTIONS, pages


@pytest.mark.parametrize("name", pages())
def test_a_page_is_what_it_would_be_made_to_be_now(name: str) -> None:
    assert (DOCS / name).read_text() == pages()[name], "run `make docs`"


def test_every_code_says_what_to_do() -> None:
    assert EVENTS.keys() == set(EventType)
    assert REASONS.keys() == set(ReasonCode)
    assert REJECTIONS.keys() == set(Rejection)
