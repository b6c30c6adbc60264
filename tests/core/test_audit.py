"""The checker sees every violation, shown by a history that was corrupted by hand."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from jetworker.core.audit import (
    ACCEPTED,
    ANSWERED,
    BOUND,
    COMPLETED,
    ORIGIN,
    PARKED,
    PARTITION,
    SEQUENCE,
    SNAPSHOT,
    TERMINAL,
    CommandRow,
    DeadLetterRow,
    EventRow,
    History,
    Invariant,
    SnapshotRow,
    judge,
)


def told(kind: str, sequence: int, command_id: str = "c-1", **data: object) -> EventRow:
    return EventRow(kind, command_id, 0, {"sequence": sequence, **data})


GOOD = History(
    events=(
        told("delivery.accepted", 1),
        told("delivery.started", 2, deliveryId="d-1"),
        told("delivery.completed", 3, deliveryId="d-1"),
        EventRow("command.duplicate", "c-1", 0, {"partition": 0, "offset": 1}),
        EventRow("command.rejected", None, 0, {"partition": 0, "offset": 2}),
    ),
    commands=(
        CommandRow(0, 0, "c-1", b"{}"),
        CommandRow(0, 1, "c-1", b"{}"),
        CommandRow(0, 2, None, b"?"),
        CommandRow(0, 3, "c-9", b"not read yet"),
    ),
    dead_letters=(DeadLetterRow(0, 2, b"?"),),
    snapshots={"c-1": SnapshotRow("completed", 3)},
    answered_below={0: 3},
)


def test_a_good_history_checks_every_invariant_and_violates_none() -> None:
    verdict = judge(GOOD)

    assert verdict.violations == []
    assert min(verdict.checked.values()) > 0


@pytest.mark.parametrize("name", ["moving", "unreadable"])
def test_a_snapshot_that_nobody_can_tell_of_is_not_judged(name: str) -> None:
    behind = replace(GOOD, snapshots={"c-1": SnapshotRow("accepted", 1)})
    unknown = replace(behind, **{name: frozenset({"c-1"})})  # type: ignore[arg-type]

    assert [invariant for invariant, _ in judge(behind).violations] == [SNAPSHOT]
    assert judge(unknown).violations == []


def test_an_empty_history_checks_nothing() -> None:
    assert not any(judge(History(())).checked.values())


def test_what_is_on_its_way_violates_nothing() -> None:
    waiting = with_event(told("delivery.accepted", 1, "c-9"))
    both = {**GOOD.snapshots, "c-9": SnapshotRow("accepted", 1)}
    kept = replace(waiting, snapshots=both)

    assert judge(kept).violations == []
    assert judge(replace(waiting, moving=frozenset({"c-9"}))).violations == []


def test_what_has_ended_is_forgotten_one_day() -> None:
    forgotten = replace(GOOD, snapshots={})

    assert judge(forgotten).violations == []


def test_what_retention_took_is_not_missed() -> None:
    later = replace(GOOD, commands=GOOD.commands[1:])

    verdict = judge(later)

    assert verdict.violations == []
    assert not verdict.checked[ORIGIN]


def test_what_went_with_a_commands_topic_that_was_deleted_is_not_missed() -> None:
    """Its records are gone, and offset 0 is there: of another topic."""
    answer = EventRow("command.duplicate", "c-1", 0, {"partition": 0, "offset": 0})
    remade = History(
        (*GOOD.events[:3], answer),
        (CommandRow(0, 0, "c-1", b"{}"),),
        snapshots=GOOD.snapshots,
        answered_below={0: 1},
    )
    other = replace(remade, commands=(CommandRow(0, 1, "c-9", b"{}"),))

    assert [each for each, _ in judge(remade).violations] == [ANSWERED]
    known = replace(remade, earlier=frozenset({"c-1"}))
    assert judge(known).violations == []
    assert not judge(known).checked[ORIGIN]
    assert judge(replace(other, earlier=frozenset({"c-1"}))).violations == []


def test_what_was_read_again_may_be_answered_and_parked_once_more() -> None:
    """The log was cut, and is read from its beginning: the state says up to where."""
    again = (
        EventRow("command.duplicate", "c-1", 0, {"partition": 0, "offset": 0}),
        EventRow("command.duplicate", "c-1", 0, {"partition": 0, "offset": 1}),
        EventRow("command.rejected", None, 0, {"partition": 0, "offset": 2}),
    )
    cut = replace(
        GOOD,
        events=(*GOOD.events, *again),
        dead_letters=(*GOOD.dead_letters, *GOOD.dead_letters),
    )

    assert {each for each, _ in judge(cut).violations} == {ANSWERED, PARKED}
    assert judge(replace(cut, read_again={0: 3})).violations == []
    missed = replace(GOOD, events=GOOD.events[:3], read_again={0: 3})
    assert [what for _, what in judge(missed).violations] == [
        "partition 0, offset 2: 0",
        "c-1, read again: [0, 0]",
    ]


def test_after_a_growth_a_repeat_is_answered_on_another_partition() -> None:
    repeat = CommandRow(5, 0, "c-1", b"{}")
    answer = EventRow("command.duplicate", "c-1", 0, {"partition": 5, "offset": 0})
    read = replace(GOOD, commands=(*GOOD.commands, repeat), answered_below={0: 3, 5: 1})

    assert judge(replace(read, events=(*GOOD.events, answer))).violations == []
    assert [each for each, _ in judge(read).violations] == [ANSWERED]


def test_a_history_without_its_offsets_is_no_proof() -> None:
    """A wrong group id must not look like a system in which all is well."""
    assert judge(GOOD).unchecked == ()
    assert judge(replace(GOOD, answered_below={})).unchecked == (ANSWERED,)
    assert SEQUENCE in judge(History(())).unchecked


def test_every_invariant_has_a_history_that_violates_it() -> None:
    assert {invariant for invariant, _ in CORRUPTIONS} == set(judge(GOOD).checked)


def without_event(place: int) -> History:
    events = [e for n, e in enumerate(GOOD.events) if n != place]
    return replace(GOOD, events=events)


def with_event(event: EventRow) -> History:
    return replace(GOOD, events=(*GOOD.events, event))


CORRUPTIONS: list[tuple[Invariant, Callable[[], History]]] = [
    (SEQUENCE, lambda: without_event(1)),
    (ACCEPTED, lambda: without_event(0)),
    (TERMINAL, lambda: with_event(told("delivery.failed", 4))),
    (
        PARTITION,
        lambda: with_event(replace(told("delivery.progressed", 4), partition=1)),
    ),
    (BOUND, lambda: with_event(told("delivery.accepted", 1, "c-2", deliveryId="d-1"))),
    (BOUND, lambda: with_event(told("delivery.progressed", 4, deliveryId="d-2"))),
    (ANSWERED, lambda: without_event(3)),
    (ANSWERED, lambda: with_event(GOOD.events[3])),
    (PARKED, lambda: replace(GOOD, dead_letters=())),
    (PARKED, lambda: replace(GOOD, dead_letters=(DeadLetterRow(0, 2, b"!"),))),
    (PARKED, lambda: replace(GOOD, dead_letters=(*GOOD.dead_letters,) * 2)),
    (
        PARKED,
        lambda: replace(GOOD, dead_letters=(DeadLetterRow(0, 2, b"?", b"other key"),)),
    ),
    (PARKED, lambda: replace(GOOD, dead_letters=(DeadLetterRow(0, 1, b"?"),))),
    (SNAPSHOT, lambda: replace(GOOD, snapshots={"c-1": SnapshotRow("completed", 2)})),
    (SNAPSHOT, lambda: replace(GOOD, snapshots={"c-1": SnapshotRow("failed", 3)})),
    (SNAPSHOT, lambda: replace(GOOD, snapshots={"c-1": SnapshotRow("in_progress", 3)})),
    (SNAPSHOT, lambda: with_event(told("delivery.accepted", 1, "c-9"))),
    (ORIGIN, lambda: with_event(told("delivery.accepted", 1, "c-3"))),
    (ANSWERED, lambda: without_event(4)),
    (COMPLETED, lambda: without_event(1)),
    (
        COMPLETED,
        lambda: replace(
            GOOD, events=(GOOD.events[0], told("delivery.started", 2), GOOD.events[2])
        ),
    ),
]


@pytest.mark.parametrize(
    ("invariant", "corrupt"), CORRUPTIONS, ids=range(len(CORRUPTIONS))
)
def test_a_corrupted_history_is_seen(
    invariant: Invariant, corrupt: Callable[[], History]
) -> None:
    violated = {each for each, _ in judge(corrupt()).violations}

    assert invariant in violated
