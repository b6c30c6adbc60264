"""Jet's clock is never believed to be later than it is, and is told closely enough."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetworker.core.jet_clock import Heard, better, is_before
from tests.support.builders import NOW, SECOND

MARGIN = timedelta(milliseconds=100)
WHOLE = NOW.replace(microsecond=0)


def test_what_passed_since_a_header_was_read_is_added() -> None:
    heard = Heard(WHOLE, at=50.0)

    assert heard.then(53.5) == WHOLE + 3.5 * SECOND - MARGIN


def test_a_header_that_tells_a_later_time_is_kept() -> None:
    early, late = Heard(WHOLE, at=50.0), Heard(WHOLE + SECOND, at=50.1)

    assert better(None, early) == early
    assert better(early, late) == late
    assert better(late, Heard(WHOLE + SECOND, at=50.9)) == late


def test_a_clock_that_was_set_back_is_believed() -> None:
    kept, back = Heard(WHOLE, at=50.0), Heard(WHOLE - 5 * SECOND, at=51.0)

    assert better(kept, back) == back


def test_none_is_kept_for_long_since_no_two_clocks_go_alike() -> None:
    kept, new = Heard(WHOLE, at=50.0), Heard(WHOLE + 60 * SECOND, at=110.5)

    assert better(kept, new) == new


@given(
    st.lists(st.tuples(st.floats(0.001, 20), st.floats(0, 5)), min_size=1, max_size=40)
)
def test_it_is_never_later_than_jet_s_own(gaps: list[tuple[float, float]]) -> None:
    """Whatever the gaps between answers and however long each was on its way."""
    now, kept = 0.0, None
    for gap, on_its_way in gaps:
        now += gap
        cut = WHOLE + timedelta(seconds=int(now))
        kept = better(kept, Heard(cut, now + on_its_way))
        now += on_its_way
        assert kept.then(now) <= WHOLE + timedelta(seconds=now)


@pytest.mark.parametrize(
    ("created", "is_older"),
    [(-0.001, True), (0.0, False), (0.001, False)],
)
def test_a_date_with_a_fraction_is_compared_as_it_is(
    created: float, is_older: bool
) -> None:
    jet_time = WHOLE + SECOND / 2

    assert is_before(jet_time + timedelta(seconds=created), jet_time) is is_older


def test_a_date_without_a_fraction_may_have_been_cut_to_the_second() -> None:
    assert not is_before(WHOLE, WHOLE + SECOND / 2)
    assert is_before(WHOLE - SECOND, WHOLE + SECOND / 2)
