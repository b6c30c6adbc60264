"""
The guarantees, judged from what the topics hold.

Every invariant counts what it checked: one that checked nothing has shown nothing. A
violation names the command, so that an operator can `explain` it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NewType


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event: its kind, whom it is about, its data and its partition."""

    kind: str
    command_id: str | None
    partition: int
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CommandRow:
    """One record of the commands topic; *paths* are the objects it asks for."""

    partition: int
    offset: int
    command_id: str | None
    value: bytes | None
    key: bytes | None = None
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DeadLetterRow:
    """One dead letter, and where it says that it comes from."""

    partition: int
    offset: int
    value: bytes | None
    key: bytes | None = None


@dataclass(frozen=True, slots=True)
class SnapshotRow:
    """One snapshot: the state and sequence that the state topic has of a command."""

    state: str
    sequence: int


@dataclass(frozen=True, slots=True)
class History:
    """
    What the four topics hold.

    *answered_below* is the group's offset by partition. *moving* are the commands whose
    snapshots changed while the topics were read, *unreadable* those whose latest one
    this version cannot read: of neither the snapshot is judged. *earlier* are those that
    were accepted before anything that the commands topic holds was published: their
    records went with a topic that was deleted and made anew. Of places before
    *read_again* of their partition answers may be of two readings, as the state says.
    """

    events: Sequence[EventRow]
    commands: Sequence[CommandRow] = ()
    dead_letters: Sequence[DeadLetterRow] = ()
    snapshots: Mapping[str, SnapshotRow] = field(default_factory=dict)
    answered_below: Mapping[int, int] = field(default_factory=dict)
    moving: frozenset[str] = frozenset()
    unreadable: frozenset[str] = frozenset()
    earlier: frozenset[str] = frozenset()
    read_again: Mapping[int, int] = field(default_factory=dict)

    def is_read_again(self, partition: int, offset: int) -> bool:
        """Whether answers about a place may be of more than one reading."""
        return offset < self.read_again.get(partition, 0)


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
    for command_id, events in told.items():
        _judge_command(verdict, command_id, events)
        if command_id not in history.moving | history.unreadable:
            kept = history.snapshots.get(command_id)
            _judge_snapshot(verdict, command_id, events[-1], kept)
    _judge_origins(verdict, told, history)
    _judge_bindings(verdict, told)
    _judge_answers(verdict, history)
    _judge_dead_letters(verdict, history)
    return verdict


def _judge_command(verdict: Verdict, command_id: str, events: list[EventRow]) -> None:
    numbers = [event.data.get("sequence") for event in events]
    expected = list(range(1, len(events) + 1))
    verdict.check(
        SEQUENCE, holds=numbers == expected, what=f"{command_id}: {numbers[:20]}"
    )
    accepted = [event.kind == "delivery.accepted" for event in events]
    verdict.check(ACCEPTED, holds=accepted[0] and sum(accepted) == 1, what=command_id)
    ended = [place for place, e in enumerate(events) if e.kind in _TERMINAL]
    verdict.check(TERMINAL, holds=ended in ([], [len(events) - 1]), what=command_id)
    partitions = {event.partition for event in events}
    verdict.check(PARTITION, holds=len(partitions) == 1, what=command_id)
    if events[-1].kind == "delivery.completed":
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
    """Where nothing was taken yet, every command is there."""
    firsts = {r.partition: r.offset for r in reversed(history.commands)}
    if any(firsts.values()):
        return
    asked = {record.command_id for record in history.commands}
    for command_id in told.keys() - history.earlier if asked else ():
        verdict.check(ORIGIN, holds=command_id in asked, what=command_id)


def _judge_bindings(verdict: Verdict, told: Mapping[str, Iterable[EventRow]]) -> None:
    owners: defaultdict[str, set[str]] = defaultdict(set)
    for command_id, events in told.items():
        bound = {str(e.data["deliveryId"]) for e in events if e.data.get("deliveryId")}
        for delivery_id in bound:
            owners[delivery_id].add(command_id)
        if bound:
            verdict.check(BOUND, holds=len(bound) == 1, what=f"{command_id}: {bound}")
    for delivery_id, commands in owners.items():
        what = f"{delivery_id}: {sorted(commands)}"
        verdict.check(BOUND, holds=len(commands) == 1, what=what)


def _judge_answers(verdict: Verdict, history: History) -> None:
    """
    Judge records below the group's offset: as many answers as records.

    An answer names its record; `delivery.accepted` answers one of the command's.
    """
    answers: defaultdict[tuple[Any, Any], int] = defaultdict(int)
    accepted: set[str | None] = set()
    for event in history.events:
        if event.kind.startswith("command."):
            answers[event.data.get("partition"), event.data.get("offset")] += 1
        elif event.kind == "delivery.accepted":
            accepted.add(event.command_id)
    records: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    twice: set[str] = set()
    for record in history.commands:
        if record.offset < history.answered_below.get(record.partition, 0):
            number = answers[record.partition, record.offset]
            is_again = history.is_read_again(record.partition, record.offset)
            if record.command_id is not None and record.command_id in accepted:
                records[record.command_id].append((record.partition, number))
                if is_again:
                    twice.add(record.command_id)
            else:
                what = f"partition {record.partition}, offset {record.offset}: {number}"
                holds = number == 1 or (is_again and number > 1)
                verdict.check(ANSWERED, holds=holds, what=what)
    whole = {record.partition for record in history.commands if not record.offset}
    for command_id, found in records.items():
        partitions = {partition for partition, _ in found}
        numbers = [number for _, number in found]
        is_whole = partitions <= whole and command_id not in history.earlier
        if command_id in twice:
            what = f"{command_id}, read again: {numbers[:20]}"
            holds = sum(numbers) >= len(numbers) - 1
            verdict.check(ANSWERED, holds=holds, what=what)
        else:
            _judge_records(verdict, command_id, numbers, partitions, is_whole)


def _judge_records(
    verdict: Verdict,
    command_id: str,
    numbers: list[int],
    partitions: set[int],
    is_whole: bool,  # noqa: FBT001 -- passed on
) -> None:
    """
    Judge the answers of one accepted command's records.

    They are on one partition, and on others too after the topic has grown.
    """
    places = ", ".join(str(each) for each in sorted(partitions))
    what = f"partition {places}, {command_id}: {numbers[:20]}"
    # The record that was accepted may have been taken.
    expected = {len(numbers) - 1} if is_whole else {len(numbers) - 1, len(numbers)}
    holds = sum(numbers) in expected and max(numbers) <= 1
    verdict.check(ANSWERED, holds=holds, what=what)


def _judge_dead_letters(verdict: Verdict, history: History) -> None:
    asked = {(r.partition, r.offset): (r.key, r.value) for r in history.commands}
    parked: dict[tuple[int, int], list[tuple[bytes | None, bytes | None]]] = {}
    for letter in history.dead_letters:
        where = (letter.partition, letter.offset)
        parked.setdefault(where, []).append((letter.key, letter.value))
    for event in (e for e in history.events if e.kind == "command.rejected"):
        where = (int(event.data["partition"]), int(event.data["offset"]))
        found = parked.get(where, [])
        same = len(found) == 1 and found[0] == asked.get(where, found[0])
        same |= bool(found) and history.is_read_again(*where)
        what = f"partition {where[0]}, offset {where[1]}: {len(found)} dead letters"
        verdict.check(PARKED, holds=same, what=what)


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
    paths = {r.command_id: r.paths for r in history.commands if r.paths}
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
