"""
The guarantees, judged from what the topics hold.

Every invariant counts what it checked: one that checked nothing has shown nothing. A
violation names the command, so that an operator can `explain` it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NewType, TypeAlias

from jetworker.core.answered import (
    DUPLICATE,
    RecordKind,
    are_possible,
    may_be_accepted_amid,
)
from jetworker.core.command import Rejection
from jetworker.core.resumption import Left, ReadAgain

Place = tuple[int, int]
"""A partition of the commands topic, and an offset."""


@dataclass(frozen=True, slots=True)
class EventRow:
    """
    One event: its kind, whom it is about, its data and its partition.

    *at* is when it was written, in ms; events of one partition are in its order.
    """

    kind: str
    command_id: str | None
    partition: int
    data: Mapping[str, Any]
    at: int = 0

    @property
    def answer(self) -> str:
        """How it answers a record: by the reason, where that was rejected."""
        if self.kind == "command.rejected":
            return str(self.data["reason"]["code"])
        return self.kind.removeprefix("command.")


@dataclass(frozen=True, slots=True)
class CommandRow:
    """
    One record of the commands topic, published *at* a time in ms.

    *paths* are the objects that it asks for.
    """

    partition: int
    offset: int
    command_id: str | None
    value: bytes | None
    key: bytes | None = None
    paths: tuple[str, ...] = ()
    kind: RecordKind = RecordKind.SEND
    at: int = 0

    @property
    def place(self) -> Place:
        """Where it is."""
        return self.partition, self.offset


@dataclass(frozen=True, slots=True)
class DeadLetterRow:
    """One dead letter, and where it says that it comes from."""

    partition: int
    offset: int
    value: bytes | None
    key: bytes | None = None


@dataclass(frozen=True, slots=True)
class SnapshotRow:
    """
    One snapshot: the state and sequence that the state topic has of a command.

    Records *waiting* with it are not answered yet.
    """

    state: str
    sequence: int
    waiting: frozenset[Place] = frozenset()


@dataclass(frozen=True, slots=True)
class History:
    """
    What the four topics hold.

    *answered_below* is the group's offset by partition. *moving* are the commands whose
    snapshots changed while the topics were read, *unreadable* those whose latest one
    this version cannot read: of neither the snapshot is judged. *earlier* are those that
    were accepted before anything that the commands topic holds was published: their
    records went with a topic that was deleted and made anew. *read_again* is which places
    of each partition were read more than once, as the state says. Records at *waiting*
    places are not answered yet: they wait for Jet's word, or for another partition.
    *dedupe_window* is for how long an id is remembered, None where none is forgotten.
    *untold_until* is, of each partition of the events topic whose beginning retention
    took, when its first event that is left was written, in ms; *unparked_until* is the
    latest such time of the dead-letter topic, 0 where nothing is gone.
    """

    events: Sequence[EventRow]
    commands: Sequence[CommandRow] = ()
    dead_letters: Sequence[DeadLetterRow] = ()
    snapshots: Mapping[str, SnapshotRow] = field(default_factory=dict)
    answered_below: Mapping[int, int] = field(default_factory=dict)
    moving: frozenset[str] = frozenset()
    unreadable: frozenset[str] = frozenset()
    earlier: frozenset[str] = frozenset()
    read_again: Mapping[int, ReadAgain] = field(default_factory=dict)
    waiting: frozenset[Place] = frozenset()
    dedupe_window: timedelta | None = None
    untold_until: Mapping[int, int] = field(default_factory=dict)
    unparked_until: int = 0

    def readings(self, place: Place) -> int:
        """Return how often a place can have been read."""
        again = self.read_again.get(place[0])
        return 1 + again.times if again is not None and place[1] in again else 1

    def is_certain(self, record: CommandRow, answers: Iterable[EventRow]) -> bool:
        """Whether all that was answered about its place was answered to this record."""
        if self.readings(record.place) == 1:
            return True
        is_other = self.read_again[record.partition].left is Left.NOTHING
        return not is_other and all(record.at <= each.at for each in answers)

    def is_cut(self, events: Sequence[EventRow]) -> bool:
        """Whether retention may have taken what was told of a command before *events*."""
        first, accepted = events[0], _accepted_at(events)
        until = self.untold_until.get(first.partition)
        if until is None or first.kind == "delivery.accepted":
            return False
        return not accepted or _in_ms(accepted) <= until + _SKEW

    def may_be_untold(self, record: CommandRow) -> bool:
        """Whether retention may have taken the answers to a record."""
        last = max(self.untold_until.values(), default=None)
        return last is not None and record.at <= last + _SKEW

    def may_be_unparked(self, answers: Iterable[EventRow]) -> bool:
        """Whether retention may have taken the dead letter that goes with answers."""
        until = self.unparked_until
        return bool(until) and all(each.at <= until + _SKEW for each in answers)

    def is_taken(self, record: CommandRow) -> bool:
        """Whether the group has passed it."""
        return record.offset < self.answered_below.get(record.partition, 0)


@dataclass(frozen=True, slots=True)
class CreationRow:
    """One delivery in Jet's ledger; *is_foreign*: a person's, at the console."""

    delivery_id: str
    paths: tuple[str, ...]
    is_foreign: bool = False


Invariant = NewType("Invariant", str)

SEQUENCE = Invariant("events are numbered 1, 2, 3 without gap or repeat, in order")
ACCEPTED = Invariant("delivery.accepted is first, and once")
TERMINAL = Invariant("at most one terminal event, and nothing after it")
PARTITION = Invariant("events of one command are on one partition")
BOUND = Invariant("a delivery is bound to one command, and to one only")
ANSWERED = Invariant("every record of the commands topic is answered once")
PARKED = Invariant("every rejected record is one dead letter, byte for byte")
SNAPSHOT = Invariant("the state topic agrees with the last event")
COMPLETED = Invariant("what completed was started")
ORIGIN = Invariant("no event without a command")
CREATED = Invariant("Jet made at most one delivery for each accepted command")
MADE = Invariant("a bound delivery was made by Jet, for this command's objects")

ALL = (
    SEQUENCE,
    ACCEPTED,
    TERMINAL,
    PARTITION,
    BOUND,
    ANSWERED,
    PARKED,
    SNAPSHOT,
    COMPLETED,
    ORIGIN,
)
# What is never checked where nothing happened; the others are checked by any command.
OCCASIONAL = frozenset({BOUND, PARKED, COMPLETED, ORIGIN})
_SECOND = timedelta(seconds=1)  # what memory keeps of an end is not more exact
_SKEW = 5_000  # ms by which the clocks of those who wrote to a topic may differ
_Lives: TypeAlias = Mapping[str, Sequence[Sequence[EventRow]]]
_TERMINAL = frozenset({"delivery.completed", "delivery.failed", "delivery.cancelled"})


@dataclass(slots=True)
class Verdict:
    """How often each invariant was checked, and what violated it."""

    checked: dict[Invariant, int] = field(default_factory=lambda: dict.fromkeys(ALL, 0))
    violations: list[tuple[Invariant, str]] = field(default_factory=list)

    @property
    def unchecked(self) -> tuple[Invariant, ...]:
        """What any command would have checked, and nothing did."""
        return tuple(
            each
            for each, number in self.checked.items()
            if not number and each not in OCCASIONAL
        )

    def check(self, invariant: Invariant, *, holds: bool, what: str) -> None:
        """Count one check."""
        self.checked[invariant] += 1
        if not holds:
            self.violations.append((invariant, what))


def judge(history: History) -> Verdict:
    """Return what the history shows."""
    verdict = Verdict()
    told: defaultdict[str, list[EventRow]] = defaultdict(list)
    for event in history.events:
        if event.command_id is not None and not event.kind.startswith("command."):
            told[event.command_id].append(event)
    lives = {each: _lives(told[each], history.dedupe_window) for each in told}
    for command_id, each_life in lives.items():
        for events in each_life:
            _judge_command(verdict, command_id, events, is_cut=history.is_cut(events))
        if command_id not in history.moving | history.unreadable:
            kept = history.snapshots.get(command_id)
            _judge_snapshot(verdict, command_id, each_life[-1][-1], kept)
    _judge_origins(verdict, told, history)
    _judge_bindings(verdict, lives)
    _judge_answers(verdict, history, lives)
    _judge_dead_letters(verdict, history)
    return verdict


def _lives(
    events: Sequence[EventRow], window: timedelta | None
) -> list[list[EventRow]]:
    """
    Return what was told of an id by the commands that had it, the latest one last.

    Once it is forgotten it may be used anew. Their events may be on two partitions, which
    are read in any order.
    """
    parts: list[list[EventRow]] = [[events[0]]]
    for event in events[1:]:
        if event.kind == "delivery.accepted":
            parts.append([])
        parts[-1].append(event)
    if window is not None:
        parts.sort(key=_accepted_at)
    lives = parts[:1]
    for part in parts[1:]:
        if _is_forgotten(lives[-1][-1], part[0], window):
            lives.append(part)
        else:
            lives[-1] += part
    return lives


def _accepted_at(events: Iterable[EventRow]) -> str:
    """Return when a command was accepted, as each of its `delivery.*` events says."""
    said = (each.data.get("acceptedAt") for each in events)
    return next((str(each) for each in said if each), "")


def _in_ms(instant: str) -> float:
    return datetime.fromisoformat(instant).timestamp() * 1000


def _is_forgotten(last: EventRow, first: EventRow, window: timedelta | None) -> bool:
    """Whether an id was forgotten after its *last* event, before it was used anew."""
    ended, begun = last.data.get("finishedAt"), first.data.get("acceptedAt")
    if window is None or ended is None or begun is None:
        return False
    between = datetime.fromisoformat(begun) - datetime.fromisoformat(ended)
    return between > window - _SECOND


def _judge_command(
    verdict: Verdict, command_id: str, events: Sequence[EventRow], *, is_cut: bool
) -> None:
    numbers = [event.data.get("sequence") for event in events]
    begin = numbers[0] if is_cut and isinstance(numbers[0], int) else 1
    expected = list(range(begin, begin + len(events)))
    verdict.check(
        SEQUENCE, holds=numbers == expected, what=f"{command_id}: {numbers[:20]}"
    )
    accepted = [event.kind == "delivery.accepted" for event in events]
    is_first = sum(accepted) == (0 if is_cut else 1) and accepted[0] is not is_cut
    verdict.check(ACCEPTED, holds=is_first, what=command_id)
    ended = [place for place, e in enumerate(events) if e.kind in _TERMINAL]
    verdict.check(TERMINAL, holds=ended in ([], [len(events) - 1]), what=command_id)
    partitions = {event.partition for event in events}
    verdict.check(PARTITION, holds=len(partitions) == 1, what=command_id)
    if events[-1].kind == "delivery.completed" and not is_cut:
        started = any(
            event.kind == "delivery.started" and event.data.get("deliveryId")
            for event in events
        )
        verdict.check(COMPLETED, holds=started, what=command_id)


def _judge_snapshot(
    verdict: Verdict, command_id: str, last: EventRow, kept: SnapshotRow | None
) -> None:
    """Judge a command's snapshot; only what has ended may have none any more."""
    if kept is None:
        what = f"{command_id}: it has not ended, and has no snapshot"
        verdict.check(SNAPSHOT, holds=_ends(last), what=what)
        return
    ended = f"delivery.{kept.state}" in _TERMINAL
    same = kept.sequence == last.data.get("sequence") and (
        last.kind == f"delivery.{kept.state}" if ended else not _ends(last)
    )
    verdict.check(SNAPSHOT, holds=same, what=command_id)


def _ends(event: EventRow) -> bool:
    return event.kind in _TERMINAL


def _judge_origins(
    verdict: Verdict, told: Mapping[str, Iterable[EventRow]], history: History
) -> None:
    """Where nothing was taken or cut off yet, every command is there."""
    firsts = {r.partition: r.offset for r in reversed(history.commands)}
    read = (number for number, below in history.answered_below.items() if below)
    are_taken = any(firsts.values()) or any(each not in firsts for each in read)
    is_cut = any(each.left is Left.PART for each in history.read_again.values())
    if are_taken or is_cut:
        return
    asked = {record.command_id for record in history.commands}
    for command_id in told.keys() - history.earlier if asked else ():
        verdict.check(ORIGIN, holds=command_id in asked, what=command_id)


def _judge_bindings(verdict: Verdict, lives: _Lives) -> None:
    owners: defaultdict[str, list[str]] = defaultdict(list)
    each_life = ((each, events) for each, of in lives.items() for events in of)
    for command_id, events in each_life:
        bound = {str(e.data["deliveryId"]) for e in events if e.data.get("deliveryId")}
        for delivery_id in bound:
            owners[delivery_id].append(command_id)
        if bound:
            verdict.check(BOUND, holds=len(bound) == 1, what=f"{command_id}: {bound}")
    for delivery_id, commands in owners.items():
        what = f"{delivery_id}: {sorted(commands)}"
        verdict.check(BOUND, holds=len(commands) == 1, what=what)


def _judge_answers(verdict: Verdict, history: History, lives: _Lives) -> None:
    """
    Judge records below the group's offset: one answer to each, for each reading.

    An answer names its record; `delivery.accepted` answers one of the command's.
    """
    answers = _answers(history)
    accepted: dict[str | None, EventRow] = {}
    for event in history.events:
        if event.kind == "delivery.accepted":
            accepted.setdefault(event.command_id, event)
    of: defaultdict[str, list[_Read]] = defaultdict(list)
    for record in filter(history.is_taken, history.commands):
        read = _Read.of(record, answers.get(record.place, ()), history)
        if record.command_id is not None and record.command_id in accepted:
            of[record.command_id].append(read)
        else:
            number = len(read.answers)
            what = f"partition {record.partition}, offset {record.offset}: {number}"
            if number or not read.may_be_untold:
                verdict.check(
                    ANSWERED, holds=read.is_answered, what=f"{what}{read.told}"
                )
    whole = {record.partition for record in history.commands if not record.offset}
    untaken = _read_before(history)
    for command_id, found in of.items():
        partitions = {each.record.partition for each in found}
        is_whole = partitions <= whole and not (
            command_id in history.earlier or command_id in untaken
        )
        places = ", ".join(str(each) for each in sorted(partitions))
        numbers = [len(each.answers) for each in found[:20]]
        told = "".join(each.told for each in found[:20])
        what = f"partition {places}, {command_id}: {numbers}{told}"
        is_there = is_whole and _must_show(history, found, accepted[command_id])
        holds = _are_right(found, is_there, len(lives[command_id]))
        verdict.check(ANSWERED, holds=holds, what=what)


@dataclass(frozen=True, slots=True)
class _Read:
    """
    One record that was read, and what it was answered as far as answers name it.

    *is_certain* is whether all *answers* about its place are its own; *may_be_accepted*
    is whether it can be the one that `delivery.accepted` answered, *may_be_untold* whether
    retention may have taken its answer.
    """

    record: CommandRow
    answers: Sequence[EventRow]
    is_certain: bool
    is_answered: bool
    may_be_accepted: bool
    may_be_untold: bool

    @classmethod
    def of(
        cls, record: CommandRow, answers: Sequence[EventRow], history: History
    ) -> "_Read":
        """Judge the answers about the record's place."""
        is_certain = history.is_certain(record, answers)
        readings, kind = history.readings(record.place), record.kind
        names = [each.answer for each in answers if _is_about(each, record)]
        if is_certain:
            are_its = len(names) == len(answers)
            is_right = are_its and bool(names) and are_possible(kind, names)
            is_open = are_its and may_be_accepted_amid(kind, names)
        else:
            is_right = any(are_possible(kind, [each]) for each in names)
            is_open = kind is RecordKind.SEND
        is_waiting = not answers and record.place in history.waiting
        return cls(
            record,
            answers,
            is_certain,
            is_answered=is_waiting or (is_right and len(answers) <= readings),
            may_be_accepted=is_open and len(answers) < readings,
            may_be_untold=not answers and history.may_be_untold(record),
        )

    @property
    def begins_known(self) -> bool:
        """Whether its first answer, if it has one, says that its id was known."""
        known = {DUPLICATE, Rejection.CONFLICT.value}
        return all(each.answer in known for each in self.answers[:1])

    @property
    def told(self) -> str:
        """The answers in words, where there are any."""
        names = ", ".join(each.answer for each in self.answers)
        return f" ({names})" if names else ""


def _are_right(
    found: Sequence[_Read],
    is_there: bool,  # noqa: FBT001 -- passed on
    times: int,
) -> bool:
    """
    Whether an accepted id's records were each answered, or accepted, so many *times*.

    They are on one partition, and on others too after the topic has grown. The one that
    was accepted *is there*, or may have been taken. An id that was used anew is accepted
    after it was known.
    """
    candidates = _candidates(found)
    if times > 1:
        candidates = [each for each in found if each.may_be_accepted]
    others = [e for e in found if not (e.is_answered or e.may_be_untold)]
    if is_there and not candidates:
        return False
    return len(others) <= times and all(each in candidates for each in others)


def _candidates(found: Sequence[_Read]) -> list[_Read]:
    """Return those that may be the accepted one: none that comes after a known id."""
    candidates: list[_Read] = []
    known: set[int] = set()
    for each in found:
        if each.may_be_accepted and each.record.partition not in known:
            candidates.append(each)
        if each.is_certain and each.answers and each.begins_known:
            known.add(each.record.partition)
    return candidates


def _must_show(history: History, found: Sequence[_Read], accepted: EventRow) -> bool:
    """
    Whether the record that was accepted is one of those that are there.

    Where a log was cut it may have been cut off, unless one of them is older and was
    known from the first: one that comes earlier is accepted earlier.
    """
    partitions = {each.record.partition for each in found}
    again = [history.read_again[n] for n in partitions if n in history.read_again]
    if all(each.left is Left.ALL for each in again):
        return True
    return min(each.record.at for each in found) <= accepted.at and all(
        each.is_certain and each.begins_known for each in found
    )


def _read_before(history: History) -> frozenset[str]:
    """Return the commands that have a record which is being read again just now."""
    return frozenset(
        each.command_id
        for each in history.commands
        if each.command_id is not None
        and not history.is_taken(each)
        and history.readings(each.place) > 1
    )


def _answers(history: History) -> dict[Place, list[EventRow]]:
    found: dict[Place, list[EventRow]] = {}
    for event in history.events:
        if event.kind.startswith("command."):
            place = event.data.get("partition", -1), event.data.get("offset", -1)
            found.setdefault(place, []).append(event)
    return found


def _is_about(answer: EventRow, record: CommandRow) -> bool:
    """Whether it says so; where our own code fails, an id may not be read."""
    is_ours = answer.answer == Rejection.INTERNAL_ERROR.value
    return answer.command_id == record.command_id or (
        is_ours and answer.command_id is None
    )


def _judge_dead_letters(verdict: Verdict, history: History) -> None:
    asked = {each.place: each for each in history.commands}
    parked: defaultdict[Place, list[DeadLetterRow]] = defaultdict(list)
    for letter in history.dead_letters:
        parked[letter.partition, letter.offset].append(letter)
    for place, answers in _answers(history).items():
        rejected = sum(each.kind == "command.rejected" for each in answers)
        letters, readings = parked[place], history.readings(place)
        # Where a place was read again, the events of the first time may be gone.
        are_more = readings > 1 and rejected < len(letters)
        are_all = are_more or rejected == len(letters)
        holds = are_all and len(letters) <= readings
        if place in asked and letters:
            holds &= _are_its(letters, asked[place], answers, history)
        if history.may_be_unparked(answers) and len(letters) < rejected:
            continue
        if rejected or not holds:
            what = f"partition {place[0]}, offset {place[1]}: {len(letters)}"
            verdict.check(PARKED, holds=holds, what=f"{what} dead letters")


def _are_its(
    letters: Sequence[DeadLetterRow],
    record: CommandRow,
    answers: Sequence[EventRow],
    history: History,
) -> bool:
    """Whether what was parked from a place is the record there, or one before it."""
    is_same = [(e.key, e.value) == (record.key, record.value) for e in letters]
    if history.is_certain(record, answers):
        return all(is_same)
    # A record of before may have been taken for that; the last reading was of this one.
    is_its = history.is_taken(record) and record.kind is RecordKind.UNREADABLE
    return any(is_same) or not is_its


def judge_creations(
    verdict: Verdict, history: History, made: Iterable[CreationRow]
) -> None:
    """
    Judge what Jet made by what was asked for.

    Commands of the same objects are told apart by nothing that Jet shows, so they are
    counted together.
    """
    ours = [each for each in made if not each.is_foreign]
    verdict.checked |= {CREATED: 0, MADE: 0}
    refused = {
        (e.data["partition"], e.data["offset"])
        for e in history.events
        if e.kind == "command.rejected"
    }
    # What was refused may have an id that is another's; what was not has the last word.
    records = sorted(history.commands, key=lambda each: each.place not in refused)
    paths = {r.command_id: r.paths for r in records if r.paths}
    accepted = {e.command_id for e in history.events if e.kind == "delivery.accepted"}
    allowed = Counter(paths[each] for each in accepted if each in paths)
    for objects, number in Counter(each.paths for each in ours).items():
        what = f"{number} deliveries of {list(objects[:3])} for {allowed[objects]}"
        verdict.check(CREATED, holds=number <= allowed[objects], what=what)
    by_id = {each.delivery_id: each.paths for each in ours}
    for event in history.events:
        delivery_id = event.data.get("deliveryId")
        if event.kind == "delivery.started" and event.command_id in paths:
            same = by_id.get(str(delivery_id)) == paths[event.command_id]
            what = f"{event.command_id}: {delivery_id}"
            verdict.check(MADE, holds=same, what=what)
