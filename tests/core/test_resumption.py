"""Where a new owner goes on: the table, row by row."""

from dataclasses import replace

import pytest

from jetworker.core.resumption import (
    Cause,
    Gap,
    GoOn,
    Input,
    Kept,
    Left,
    Lost,
    Mark,
    Position,
    ReadAgain,
    lost,
    read_again,
    resume,
)

_OURS = Position("ours", 50, "t1", 4)
_THEIRS = Position("theirs", 50, "t1", 4)


def _log(
    committed: int | None, begins: int = 0, ends: int = 100, topic_id: str | None = "t1"
) -> Input:
    return Input(committed, begins, ends, topic_id, 4)


@pytest.mark.parametrize(
    ("kept", "found", "expected"),
    [
        # nothing is known of it
        (Mark.EMPTY, _log(None), GoOn(0)),
        (Mark.EMPTY, _log(None, begins=7), GoOn(7)),
        (
            Mark.EMPTY,
            _log(50),
            Lost("the group stands at 50 and the state shows no owner"),
        ),
        (
            Mark.EMPTY,
            _log(0),
            Lost("the group stands at 0 and the state shows no owner"),
        ),
        # what 0.1.0 wrote
        (Mark.UNOWNED, _log(None), GoOn(0)),
        (Mark.UNOWNED, _log(50), GoOn(50)),
        (Mark.UNOWNED, _log(50, begins=60), GoOn(60, Gap(Cause.RETENTION, 50, 10))),
        (Mark.UNOWNED, _log(50, ends=20), GoOn(0, Gap(Cause.RECREATED, 50))),
        # made empty on purpose
        (Mark.BEGINNING, _log(None), GoOn(0)),
        (Mark.BEGINNING, _log(50), GoOn(50)),
        # ordinary
        (_OURS, _log(50), GoOn(50)),
        (_OURS, _log(50, ends=50), GoOn(50)),
        (_OURS, _log(50, topic_id=None), GoOn(50)),
        # the group's offset is gone, or was set back
        (_OURS, _log(None), GoOn(50)),
        (_OURS, _log(20), GoOn(50)),
        # the state is older than the group's offset
        (
            _OURS,
            _log(60),
            Lost("the group stands at 60, the state is as of 50"),
        ),
        # another topic, or a log that is shorter
        (_OURS, _log(50, topic_id="t2"), GoOn(0, Gap(Cause.RECREATED, 50))),
        (_OURS, _log(60, topic_id="t2"), GoOn(0, Gap(Cause.RECREATED, 50))),
        (_OURS, _log(50, ends=49), GoOn(0, Gap(Cause.RECREATED, 50))),
        (_OURS, _log(50, 3, 49), GoOn(3, Gap(Cause.RECREATED, 50))),
        # an offset of ours that no log of this topic ever had says nothing
        (_OURS, _log(200), GoOn(50)),
        # retention took some
        (_OURS, _log(50, begins=51), GoOn(51, Gap(Cause.RETENTION, 50, 1))),
        (_OURS, _log(None, begins=60), GoOn(60, Gap(Cause.RETENTION, 50, 10))),
        # another group had it
        (_THEIRS, _log(None), GoOn(50)),
        (_THEIRS, _log(60), GoOn(50)),
        (_THEIRS, _log(20), GoOn(50)),
        (_THEIRS, _log(None, topic_id="t2"), GoOn(0, Gap(Cause.RECREATED, 50))),
    ],
)
def test_reading_goes_on_as_the_table_says(
    kept: Kept, found: Input, expected: GoOn | Lost
) -> None:
    assert resume(kept, found, "ours") == expected


_WHOLE = Position("ours", 50, of=2)


@pytest.mark.parametrize(
    ("kept", "stands", "expected"),
    [
        # a first start, an ordinary one, and one of a group that has no offsets
        ({0: Mark.EMPTY, 1: Mark.EMPTY}, {}, {}),
        ({0: _WHOLE, 1: _WHOLE}, {0: 50, 1: 50}, {}),
        ({0: _WHOLE, 1: _WHOLE}, {0: None, 1: None}, {}),
        ({0: Mark.UNOWNED, 1: Mark.BEGINNING}, {0: 9}, {}),
        # a partition that was added is no lost one
        ({0: _WHOLE, 1: _WHOLE, 2: Mark.EMPTY}, {0: 50}, {}),
        # an owner of one knows that the other was begun
        (
            {0: _WHOLE, 1: Mark.EMPTY},
            {},
            {1: "it is empty, and others are not"},
        ),
        # the group stands on what is empty
        (
            {0: Mark.UNOWNED, 1: Mark.EMPTY},
            {1: 7},
            {1: "it is empty, and the group stands at 7"},
        ),
        (
            {0: Mark.EMPTY, 1: Mark.EMPTY},
            {1: 7},
            {
                0: "it is empty, and the group has offsets",
                1: "it is empty, and the group stands at 7",
            },
        ),
        # an old copy was put back
        (
            {0: _WHOLE, 1: _WHOLE},
            {0: 51, 1: 50},
            {0: "the group stands at 51, the state is as of 50"},
        ),
        ({0: Position("theirs", 50, of=1)}, {0: 99}, {}),
    ],
)
def test_what_is_lost_is_told_from_what_is_new(
    kept: dict[int, Kept], stands: dict[int, int | None], expected: dict[int, str]
) -> None:
    assert lost(kept, stands, "ours") == expected


_BEFORE = ReadAgain(20, 70, 2, Left.PART)
_CUT = Gap(Cause.RECREATED, 50)


@pytest.mark.parametrize(
    ("kept", "gap", "found", "expected"),
    [
        (Mark.EMPTY, None, _log(None), None),
        (Mark.UNOWNED, _CUT, _log(None), ReadAgain(0, 50, 1, Left.NOTHING)),
        (_OURS, None, _log(50), None),
        (_OURS, _CUT, _log(50, begins=3), ReadAgain(3, 50, 1, Left.PART)),
        (_OURS, _CUT, _log(50, topic_id="t2"), ReadAgain(0, 50, 1, Left.NOTHING)),
        (
            Position("ours", 50),
            _CUT,
            _log(50, topic_id=None),
            ReadAgain(0, 50, 1, Left.NOTHING),
        ),
        (_OURS, Gap(Cause.RETENTION, 50, 9), _log(50), None),
        (replace(_OURS, again=_BEFORE), None, _log(50), _BEFORE),
        (
            replace(_OURS, again=_BEFORE),
            _CUT,
            _log(50, begins=3),
            ReadAgain(3, 70, 3, Left.PART),
        ),
        (
            replace(_OURS, again=_BEFORE),
            Gap(Cause.RECREATED, 90),
            _log(50, topic_id="t2"),
            ReadAgain(0, 90, 3, Left.NOTHING),
        ),
    ],
)
def test_what_was_read_again_is_kept_and_how_much_of_it_is_left(
    kept: Kept, gap: Gap | None, found: Input, expected: ReadAgain | None
) -> None:
    assert read_again(kept, gap, found) == expected


def test_a_place_is_read_again_from_the_first_to_before_the_last() -> None:
    assert [n for n in range(80) if n in _BEFORE] == [*range(20, 70)]
