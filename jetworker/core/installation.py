"""
The whole installation as its topics tell it: every command a row, and the dead letters.

A row is a frozen value and a small one: 100,000 of them are remembered by a process of
less than 300 MB. What is long (the objects, the events, a dead letter's bytes) stays in
Kafka; kept is where it lies there.
"""

import struct
from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import Generic, TypeVar

from jetworker.core.command import CommandId, DeliveryId, JobId, RouteName
from jetworker.core.delivery import FailedObjects, Reason, Requested, State
from jetworker.core.observation import Progress

_T = TypeVar("_T")
_OFFSET = struct.Struct(">q")
_FIRST_EVENTS = 20  # of a command, which are kept however many come
_MOST_EVENTS = 200  # of a command: those and the latest
_MOST_EARLY = 10_000  # commands whose events came before their row


@dataclass(frozen=True, slots=True)
class Position:
    """Where a record lies in its topic."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Row:
    """A command as its latest snapshot has it; *at* is where that lies."""

    command_id: CommandId
    route: RouteName
    state: State
    changed_at: datetime
    at: Position
    attempt: int = 0
    reason: Reason | None = None
    delivery_id: DeliveryId | None = None
    job_id: JobId | None = None
    accepted_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    requested: Requested | None = None
    progress: Progress | None = None


@dataclass(frozen=True, slots=True)
class Gone:
    """A tombstone: the command of this id is not remembered any more."""

    command_id: CommandId
    at: Position


@dataclass(frozen=True, slots=True)
class Told:
    """
    An event about a command: where it lies, and which objects it says have *failed*.

    Of their paths only the first few.
    """

    command_id: CommandId
    at: Position
    failed: FailedObjects | None = None


@dataclass(frozen=True, slots=True)
class Letter:
    """
    A record on the dead-letter topic; *origin* is where it was read.

    *is_replay* where the record came from a replay and was parked again.
    """

    at: Position
    parked_at: datetime
    reason: str
    message: str
    key: str | None = None
    topic: str = ""
    origin: Position | None = None
    is_replay: bool = False


class Group(StrEnum):
    """What an operator asks for by one word; the states of a group are in `STATES`."""

    ALL = "all"
    OPEN = "open"
    WAITING = "waiting"
    UNCERTAIN = "uncertain"
    HELD = "held"
    RUNNING = "running"
    ENDED = "ended"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


STATES: dict[Group, frozenset[State]] = {
    Group.ALL: frozenset(State),
    Group.OPEN: frozenset(state for state in State if not state.is_final),
    Group.WAITING: frozenset(state for state in State if state.is_startable),
    Group.UNCERTAIN: frozenset({State.UNCERTAIN}),
    Group.HELD: frozenset({State.HELD}),
    Group.RUNNING: frozenset({State.STARTING, State.STARTED, State.IN_PROGRESS}),
    Group.ENDED: frozenset(state for state in State if state.is_final),
    Group.COMPLETED: frozenset({State.COMPLETED}),
    Group.FAILED: frozenset({State.FAILED}),
    Group.CANCELLED: frozenset({State.CANCELLED}),
}


@dataclass(frozen=True, slots=True)
class Query:
    """Which rows are asked for; *text* is part of a command id or of a delivery id."""

    group: Group = Group.ALL
    route: str = ""
    reason: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Page(Generic[_T]):
    """Some of what was found, and how many there are in all."""

    total: int
    items: tuple[_T, ...]


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why commands of a route wait, as told *told_at* at the latest, and how many."""

    reason: Reason
    commands: int
    told_at: datetime


class Installation:
    """
    What is known of every command, and what was set aside.

    Rows are kept in the order of their last change. *version* grows with every change.
    """

    def __init__(self, most_letters: int = 20_000) -> None:
        self.version = 0
        self.parked = 0
        self._rows: dict[CommandId, Row] = {}
        self._counts: Counter[tuple[RouteName, State, str]] = Counter()
        self._messages: dict[tuple[RouteName, str], tuple[Reason, datetime]] = {}
        self._events: dict[CommandId, tuple[int, bytes]] = {}
        self._early: OrderedDict[CommandId, None] = OrderedDict()
        self._failed: dict[CommandId, FailedObjects] = {}
        self._letters: OrderedDict[Position, Letter] = OrderedDict()
        self._replayed: set[Position] = set()
        self._most_letters = most_letters

    def put(self, row: Row) -> None:
        """Take a command's latest snapshot."""
        before = self._rows.pop(row.command_id, None)
        if before is not None:
            self._count(before, -1)
        self._rows[row.command_id] = row
        self._count(row, 1)
        self._early.pop(row.command_id, None)
        self.version += 1

    def forget(self, gone: Gone) -> None:
        """Drop a command; not where it lives on another partition by now."""
        row = self._rows.get(gone.command_id)
        if row is None or row.at.partition != gone.at.partition:
            return
        self._count(row, -1)
        del self._rows[gone.command_id]
        self._events.pop(gone.command_id, None)
        self._failed.pop(gone.command_id, None)
        self.version += 1

    def hear(self, told: Told) -> None:
        """
        Remember where an event lies: the first ones of a command, and the latest.

        Topics are read side by side, so an event may come before its row. Some such are
        kept; the rest is of commands that were forgotten long ago.
        """
        partition, offsets = self._events.get(told.command_id, (told.at.partition, b""))
        last = _OFFSET.unpack(offsets[-_OFFSET.size :])[0] if offsets else -1
        if partition != told.at.partition or told.at.offset <= last:
            return
        offsets += _OFFSET.pack(told.at.offset)
        if len(offsets) > _MOST_EVENTS * _OFFSET.size:
            kept = _FIRST_EVENTS * _OFFSET.size
            offsets = offsets[:kept] + offsets[kept + _OFFSET.size :]
        self._events[told.command_id] = (partition, offsets)
        if told.failed is not None:
            self._failed[told.command_id] = told.failed
        if told.command_id not in self._rows:
            self._keep_early(told.command_id)
        self.version += 1

    def park(self, letter: Letter) -> None:
        """Take a dead letter; beyond the most that are kept, the oldest is dropped."""
        if letter.at in self._letters:
            return
        self.parked += 1
        self._letters[letter.at] = letter
        if len(self._letters) > self._most_letters:
            self._letters.popitem(last=False)
        self.version += 1

    def mark_replayed(self, position: Position) -> None:
        """Take note that a dead letter was published again."""
        self._replayed.add(position)
        self.version += 1

    def row(self, command_id: str) -> Row | None:
        """Return what is known of a command."""
        return self._rows.get(CommandId(command_id))

    def events(self, command_id: str) -> tuple[Position, ...]:
        """Return where the events of a command lie, in their order."""
        partition, offsets = self._events.get(CommandId(command_id), (0, b""))
        found = (each[0] for each in _OFFSET.iter_unpack(offsets))
        return tuple(Position(partition, offset) for offset in found)

    def failed_objects(self, command_id: str) -> FailedObjects | None:
        """Return which objects of a command failed, if an event has said so."""
        return self._failed.get(CommandId(command_id))

    def total(self, query: Query) -> int:
        """Return how many rows fit a query."""
        if query.text:
            return sum(1 for _ in self._matching(query))
        return sum(
            number
            for (route, state, reason), number in self._counts.items()
            if state in STATES[query.group]
            and query.route in {"", route}
            and query.reason in {"", reason}
        )

    def page(self, query: Query, offset: int = 0, limit: int = 50) -> Page[Row]:
        """
        Return some of the rows that fit a query, and how many do.

        What is open comes with the oldest change first, since it is stuck the longest;
        anything else with the latest.
        """
        found = islice(self._matching(query), offset, offset + limit)
        return Page(self.total(query), tuple(found))

    def obstacles(self, route: str) -> tuple[Obstacle, ...]:
        """Return why commands of a route wait, most of them first."""
        waiting: Counter[str] = Counter()
        for (name, state, code), number in self._counts.items():
            if name == route and state is State.WAITING and number:
                waiting[code] += number
        return tuple(
            Obstacle(reason, number, told_at)
            for code, number in waiting.most_common()
            if code
            for reason, told_at in (self._messages[RouteName(route), code],)
        )

    def routes(self) -> frozenset[str]:
        """Return the routes that commands are known of."""
        return frozenset(
            route for (route, _, _), number in self._counts.items() if number
        )

    def letter(self, position: Position) -> Letter | None:
        """Return a dead letter."""
        return self._letters.get(position)

    def is_replayed(self, position: Position) -> bool:
        """Whether a dead letter was published again."""
        return position in self._replayed

    def letters(
        self, reason: str = "", text: str = "", offset: int = 0, limit: int = 50
    ) -> Page[Letter]:
        """Return some of the dead letters, latest first, and how many there are."""
        found = [
            each
            for each in reversed(self._letters.values())
            if reason in {"", each.reason} and text in (each.key or "")
        ]
        return Page(len(found), tuple(found[offset : offset + limit]))

    def letter_reasons(self) -> Counter[str]:
        """Return how many dead letters there are for each reason."""
        return Counter(each.reason for each in self._letters.values())

    def _matching(self, query: Query) -> Iterator[Row]:
        states = STATES[query.group]
        is_open = query.group is not Group.ALL and not any(s.is_final for s in states)
        rows = self._rows.values() if is_open else reversed(self._rows.values())
        for row in rows:
            if (
                row.state in states
                and query.route in {"", row.route}
                and query.reason in {"", _code(row)}
                and (
                    query.text in row.command_id
                    or query.text in (row.delivery_id or "")
                )
            ):
                yield row

    def _count(self, row: Row, number: int) -> None:
        key = row.route, row.state, _code(row)
        self._counts[key] += number
        if not self._counts[key]:
            del self._counts[key]
        if row.reason is not None and number > 0:
            told = row.reason, row.changed_at
            self._messages[row.route, row.reason.code] = told

    def _keep_early(self, command_id: CommandId) -> None:
        self._early[command_id] = None
        if len(self._early) > _MOST_EARLY:
            dropped, _ = self._early.popitem(last=False)
            self._events.pop(dropped, None)
            self._failed.pop(dropped, None)


def _code(row: Row) -> str:
    return row.reason.code if row.reason else ""
