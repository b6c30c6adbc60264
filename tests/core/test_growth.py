"""Whether topics have grown, and who has not taken note of it yet."""

import pytest

from jetworker.core.growth import Layout, had_fewer, has_grown, not_yet
from jetworker.core.resumption import Kept, Mark, Position

_NOW = Layout(commands=6, state=6)


def _kept(partitions: int, of: int, *, is_grown: bool = False) -> Position:
    return Position("g", 7, "id", partitions, of, is_grown=is_grown)


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        (_kept(6, 6), False),
        (_kept(4, 6), True),
        (_kept(6, 4), True),
        # it once had fewer, and says so for good
        (_kept(6, 6, is_grown=True), True),
        # the first version of the record did not count
        (_kept(0, 0), False),
    ],
)
def test_topics_have_grown_if_they_had_fewer_partitions(
    kept: Position,
    expected: bool,
) -> None:
    assert has_grown(kept, _NOW) is expected


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        ({0: _kept(6, 6), 1: Mark.EMPTY}, False),
        ({0: _kept(6, 6, is_grown=True), 1: Mark.EMPTY}, True),
        # they grew while nobody served them
        ({0: _kept(6, 6), 1: _kept(4, 6), 2: Mark.EMPTY}, True),
        # of the topics as they were nobody knows any more
        ({0: Mark.EMPTY, 1: Mark.BEGINNING}, True),
    ],
)
def test_where_state_is_lost_the_rest_says_whether_topics_have_grown(
    kept: dict[int, Kept],
    expected: bool,
) -> None:
    assert had_fewer(kept, _NOW) is expected


def test_whoever_may_accept_what_arrives_is_waited_for() -> None:
    kept: dict[int, Kept] = {
        0: _kept(6, 6, is_grown=True),
        1: _kept(6, 6),
        2: _kept(4, 4, is_grown=True),
        3: _kept(6, 4, is_grown=True),
        4: Mark.UNOWNED,
        5: Mark.BEGINNING,
        6: Mark.EMPTY,  # lost
    }

    assert not_yet(kept, _NOW) == [1, 2, 3, 4, 5]


def test_a_layout_is_behind_one_that_has_more_of_either() -> None:
    assert _NOW.is_behind(Layout(7, 6))
    assert _NOW.is_behind(Layout(6, 7))
    assert not _NOW.is_behind(_NOW)
    assert not _NOW.is_behind(Layout(5, 5))


def test_who_is_not_shown_yet_is_waited_for() -> None:
    """A broker may be late to know of a growth that another one has told us of."""
    kept: dict[int, Kept] = {n: _kept(6, 6, is_grown=True) for n in range(4)}

    assert not_yet(kept, _NOW) == [4, 5]
