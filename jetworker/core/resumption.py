"""
Where a new owner of a partition goes on reading: the one place that says it.

Known are what the group has committed, what the state partition kept (in the same
transactions) and what the log is now. The rows of the table, in this order:

    state      group's   log                       goes on
    --------   -------   -----------------------   -------------------------------------
    empty      none      any                       first start: at the beginning
    empty      some      any                       not: the state is lost
    0.1.0's    none      any                       at the beginning (it kept no offset)
    0.1.0's    some      as long or longer         at the group's
    marked     any       as long or longer         at the group's, or at the beginning
    kept       any       another topic, shorter    at its beginning: recreated
    kept       none      as long or longer         at what was kept
    kept       less      as long or longer         at what was kept: it is never behind
    kept       more      as long or longer         not: the state is older than the offset
    kept by another group                          at what was kept, whatever ours says
    any        any       begins later              at its beginning: retention took some
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import TypeAlias, assert_never


class Left(IntEnum):
    """How much is left of a log that is read again, of what was there before."""

    ALL = 0  # the offset was lost
    PART = 1  # it was cut
    NOTHING = 2  # it was remade; or Kafka tells no ids, and nobody knows


@dataclass(frozen=True, slots=True)
class ReadAgain:
    """
    Which offsets were read again: *since* to *before* - 1, and how many *times* more.

    They may have been answered about so many times more, of as many records as stood
    there.
    """

    since: int
    before: int
    times: int
    left: Left

    def __contains__(self, offset: int) -> bool:
        """Whether a place may have been read again."""
        return self.since <= offset < self.before

    def and_(self, earlier: "ReadAgain | None") -> "ReadAgain":
        """Return both as one, which allows for more than either, never for less."""
        if earlier is None:
            return self
        return ReadAgain(
            min(self.since, earlier.since),
            max(self.before, earlier.before),
            self.times + earlier.times,
            max(self.left, earlier.left),
        )


@dataclass(frozen=True, slots=True)
class Position:
    """
    What a state partition keeps of its input, as of the last commit.

    *offset* is the next to be read, in the commands topic of this *topic_id* (None if
    Kafka does not tell ids), which had so many *partitions*. *of* is how many partitions
    of the state topic have been begun. *events* is how many the events topic had when a
    position was kept first: a command whose snapshot does not say where its events are
    was accepted while it had so many. *is_grown* is whether the topics ever had fewer
    partitions (`growth`). *again* is what of it was read more than once.
    """

    owner: str
    offset: int
    topic_id: str | None = None
    partitions: int = 0
    of: int = 0
    events: int = 0
    is_grown: bool = False
    again: ReadAgain | None = None


class Mark(StrEnum):
    """What a state partition says where it keeps no position."""

    EMPTY = "empty"
    UNOWNED = "unowned"  # 0.1.0 wrote a barrier, or snapshots, and no owner
    BEGINNING = "beginning"  # made on purpose, empty


Kept: TypeAlias = Position | Mark


@dataclass(frozen=True, slots=True)
class Input:
    """
    A partition of the commands topic as it is now.

    *committed* is the group's offset; its readable records are *begins* to *ends* - 1.
    """

    committed: int | None
    begins: int
    ends: int
    topic_id: str | None = None
    partitions: int = 0


class Cause(StrEnum):
    """Why records are not read in order."""

    RETENTION = "retention"
    RECREATED = "recreated"


@dataclass(frozen=True, slots=True)
class Gap:
    """Where reading does not go on where it ended; *skipped* offsets were never read."""

    cause: Cause
    since: int
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class GoOn:
    """Read on at *offset*."""

    offset: int
    gap: Gap | None = None


@dataclass(frozen=True, slots=True)
class Lost:
    """Read nothing: what the partition knew is not there, and *why* that is certain."""

    why: str


def resume(kept: Kept, found: Input, group: str) -> GoOn | Lost:
    """Return where the *group* goes on; see the table above."""
    match kept:
        case Position():
            return _resume_kept(kept, found, group)
        case Mark.EMPTY if found.committed is not None:
            return Lost(
                f"the group stands at {found.committed} and the state shows no owner"
            )
        case Mark():
            return _within(found.committed, found)
        case _:
            assert_never(kept)


def _resume_kept(kept: Position, found: Input, group: str) -> GoOn | Lost:
    if None not in {kept.topic_id, found.topic_id} and kept.topic_id != found.topic_id:
        return _recreated(kept.offset, found)
    if kept.offset > found.ends:
        return _recreated(kept.offset, found)
    is_ahead = found.committed is not None and found.committed > kept.offset
    if kept.owner == group and is_ahead and (found.committed or 0) <= found.ends:
        return Lost(
            f"the group stands at {found.committed}, the state is as of {kept.offset}"
        )
    return _within(kept.offset, found)


def _within(offset: int | None, found: Input) -> GoOn:
    if offset is None:
        return GoOn(found.begins)
    if offset > found.ends:
        return _recreated(offset, found)
    if offset < found.begins:
        gap = Gap(Cause.RETENTION, offset, found.begins - offset)
        return GoOn(found.begins, gap)
    return GoOn(offset)


def _recreated(since: int, found: Input) -> GoOn:
    return GoOn(found.begins, Gap(Cause.RECREATED, since))


def read_again(kept: Kept, gap: Gap | None, found: Input) -> ReadAgain | None:
    """Return what was read more than once by now, with what is after this *gap*."""
    before = kept.again if isinstance(kept, Position) else None
    if gap is None or gap.cause is not Cause.RECREATED:
        return before
    is_cut = isinstance(kept, Position) and kept.topic_id == found.topic_id is not None
    left = Left.PART if is_cut else Left.NOTHING
    return ReadAgain(found.begins, gap.since, 1, left).and_(before)


def lost(
    kept: Mapping[int, Kept], stands: Mapping[int, int | None], group: str
) -> dict[int, str]:
    """
    Return which partitions of a state topic are not whole, and how that is known.

    An empty one is lost if the *group* stands on it, if nothing of the topic is left
    although the group stands somewhere, or if an owner of another one knows that it was
    begun. One that keeps less than the group has committed is older than it should be.
    """
    begun = max((k.of for k in kept.values() if isinstance(k, Position)), default=0)
    is_bare = all(each is Mark.EMPTY for each in kept.values())
    stood = is_bare and any(each is not None for each in stands.values())
    found: dict[int, str] = {}
    for number, what in kept.items():
        offset = stands.get(number)
        if isinstance(what, Position):
            if what.owner == group and offset is not None and offset > what.offset:
                found[number] = (
                    f"the group stands at {offset}, the state is as of {what.offset}"
                )
        elif what is Mark.EMPTY and offset is not None:
            found[number] = f"it is empty, and the group stands at {offset}"
        elif what is Mark.EMPTY and (stood or number < begun):
            others = "the group has offsets" if stood else "others are not"
            found[number] = f"it is empty, and {others}"
    return found
