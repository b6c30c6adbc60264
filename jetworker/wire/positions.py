"""
What a state partition says of itself: whose it is, and where its input stands.

The worker's own records, whose keys begin with a blank and are read by their order:

- ` barrier` is written by whoever takes the partition over; 0.1.0 wrote no owner.
- ` position` is written with every move of the input offset, in the same transaction.
- ` beginning` says that an empty partition is a new one, not a lost one.
- ` handed:` is written by owners of other partitions, so it says nothing (`handing`).

Unknown fields are for later versions; a barrier of 0.1.0 after a position means that
0.1.0 moved the offset since, and told nobody but the group.
"""

from typing import Any

import orjson

from jetworker.core.resumption import Kept, Left, Mark, Position, ReadAgain
from jetworker.wire.handing import HANDED
from jetworker.wire.snapshots import BARRIER, is_own

POSITION = b" position"
BEGINNING = b" beginning"


def encode_owner(group: str) -> bytes:
    """Return the value of a barrier or of a beginning."""
    return orjson.dumps({"v": 1, "owner": group})


def encode(position: Position) -> bytes:
    """Return the value of a position."""
    fields = {
        "v": 1,
        "owner": position.owner,
        "offset": position.offset,
        "topicId": position.topic_id,
        "partitions": position.partitions,
        "of": position.of,
        "events": position.events,
        "grown": position.is_grown,
    }
    if position.again is not None:
        fields["again"] = position.again
    return orjson.dumps(fields)


def fold(kept: Kept, key: bytes | None, value: bytes | None) -> Kept:
    """Return what is known of a partition after one more record of it."""
    if value is None or key is None or key.startswith(HANDED):
        return kept
    if not is_own(key):
        return Mark.UNOWNED if kept is Mark.EMPTY else kept
    if key == POSITION:
        return _decode(value)
    if key == BEGINNING:
        return Mark.BEGINNING if kept is Mark.EMPTY else kept
    if key == BARRIER and b'"owner"' not in value:
        return Mark.UNOWNED
    return Mark.BEGINNING if kept is Mark.EMPTY else kept


def _decode(value: bytes) -> Position:
    fields: dict[str, Any] = orjson.loads(value)
    return Position(
        owner=fields["owner"],
        offset=fields["offset"],
        topic_id=fields.get("topicId"),
        partitions=fields.get("partitions", 0),
        of=fields.get("of", 0),
        events=fields.get("events", 0),
        is_grown=fields.get("grown", False),
        again=_again(fields.get("again")),
    )


def _again(fields: Any) -> ReadAgain | None:
    """Read what was read again; what a later version says otherwise is not known."""
    if not isinstance(fields, dict):
        return None
    left = Left(min(fields["left"], Left.NOTHING))
    return ReadAgain(fields["since"], fields["before"], fields["times"], left)
