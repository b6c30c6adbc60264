"""Jet's clock is never believed to be later than it is, and is told closely enough."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from jetworker.core.jet_clock import (
    Heard,
    answered,
    better,
    is_past,
    narrowed,
    window,
)
from jetworker.core.post import Window
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


def test_one_that_was_read_late_does_not_set_the_clock_back() -> None:
    kept, late = Heard(WHOLE, at=50.0), Heard(WHOLE + SECOND, at=56.0, took=5.0)

    assert better(kept, late) == kept
    assert better(kept, Heard(WHOLE - 3 * SECOND, at=56.0, took=5.0)).date < WHOLE


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


def test_an_intent_is_dated_only_by_what_was_heard_in_the_last_minute() -> None:
    heard = Heard(WHOLE, at=50.0)

    assert heard.is_recent(110.0)
    assert not heard.is_recent(110.1)


def test_a_window_begins_before_the_date_heard_and_ends_when_no_start_can_be_on_its_way() -> (
    None
):
    way, settle = 35 * SECOND, 20 * SECOND

    assert window(WHOLE, way) == Window(WHOLE - 3 * SECOND, WHOLE + 37 * SECOND)
    assert narrowed(WHOLE, settle) == WHOLE + 23 * SECOND
    assert answered(WHOLE, WHOLE + SECOND) == Window(WHOLE, WHOLE + 4 * SECOND)
    assert answered(WHOLE, None) is None


def test_a_window_is_past_when_that_of_a_start_written_now_begins_after_it() -> None:
    assert not is_past(WHOLE + 3 * SECOND, WHOLE)
    assert is_past(WHOLE + 4 * SECOND, WHOLE)
