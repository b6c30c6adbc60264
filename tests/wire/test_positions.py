"""What a state partition says of itself, record after record."""

import pytest

from jetworker.core.resumption import Kept, Left, Mark, Position, ReadAgain
from jetworker.wire import positions
from jetworker.wire.snapshots import BARRIER

_AGAIN = ReadAgain(1, 3, 2, Left.PART)
_AT = Position("g", 7, "id", 4, 4, events=5, is_grown=True, again=_AGAIN)
_BARE = Position("g", 8)
_OWNER = positions.encode_owner("g")


@pytest.mark.parametrize(
    ("kept", "key", "value", "expected"),
    [
        (Mark.EMPTY, positions.POSITION, positions.encode(_AT), _AT),
        (Mark.UNOWNED, positions.POSITION, positions.encode(_AT), _AT),
        (_AT, positions.POSITION, positions.encode(_BARE), _BARE),
        (
            Mark.EMPTY,
            positions.POSITION,
            b'{"v":9,"owner":"g","offset":7,"later":1}',
            Position("g", 7),
        ),
        (
            _AT,
            positions.POSITION,
            b'{"owner":"g","offset":7,"again":{"since":1,"before":3,"times":2,"left":9}}',
            Position("g", 7, again=ReadAgain(1, 3, 2, Left.NOTHING)),
        ),
        (
            _AT,
            positions.POSITION,
            b'{"owner":"g","offset":7,"again":3}',
            Position("g", 7),
        ),
        # a partition is begun once: who is late to mark it changes nothing
        (Mark.EMPTY, positions.BEGINNING, _OWNER, Mark.BEGINNING),
        (_AT, positions.BEGINNING, _OWNER, _AT),
        # a barrier of ours moves nothing, one of 0.1.0 says that it was there since
        (_AT, BARRIER, _OWNER, _AT),
        (Mark.BEGINNING, BARRIER, _OWNER, Mark.BEGINNING),
        (Mark.EMPTY, BARRIER, _OWNER, Mark.BEGINNING),
        (_AT, BARRIER, b"{}", Mark.UNOWNED),
        # snapshots without anything of the worker's own are 0.1.0's
        (Mark.EMPTY, b"c-1", b"{}", Mark.UNOWNED),
        (_AT, b"c-1", b"{}", _AT),
        (Mark.EMPTY, b"c-1", None, Mark.EMPTY),
        # what others hand over says nothing of it: it may be lost all the same
        (Mark.EMPTY, b" handed:1:2:3", b"{}", Mark.EMPTY),
        (Mark.EMPTY, None, b"{}", Mark.EMPTY),
    ],
)
def test_the_last_word_of_a_partition_on_itself_is_kept(
    kept: Kept, key: bytes | None, value: bytes | None, expected: Kept
) -> None:
    assert positions.fold(kept, key, value) == expected
