"""The checker sees every violation, shown by a history that was corrupted by hand."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from jetworker.core.answered import RecordKind
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
from jetworker.core.resumption import Left, ReadAgain


def rejected(
    offset: int, reason: str, command_id: str | None = None, at: int = 0
) -> EventRow:
    data = {"partition": 0, "offset": offset, "reason": {"code": reason}}
    return EventRow("command.rejected", command_id, 0, data, at)


def duplicate(offset: int, command_id: str = "c-1", at: int = 0) -> EventRow:
    data = {"partition": 0, "offset": offset}
    return EventRow("command.duplicate", command_id, 0, data, at)


def told(kind: str, sequence: int, command_id: str = "c-1", **data: object) -> EventRow:
    return EventRow(kind, command_id, 0, {"sequence": sequence, **data})


GOOD = History(
    events=(
        told("delivery.accepted", 1),
        told("delivery.started", 2, deliveryId="d-1"),
        told("delivery.completed", 3, deliveryId="d-1"),
        duplicate(1),
        rejected(2, "invalid_json"),
    ),
    commands=(
        CommandRow(0, 0, "c-1", b"{}"),
        CommandRow(0, 1, "c-1", b"{}"),
        CommandRow(0, 2, None, b"?", kind=RecordKind.UNREADABLE),
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


WEEK = timedelta(days=7)
ENDED = datetime(2026, 11, 23, 10, tzinfo=UTC)


def lived_twice(after: timedelta) -> History:
    """A command that ended, and one of its id that was accepted so long after that."""
    anew = (ENDED + after).isoformat()
    return replace(
        GOOD,
        events=(
            told("delivery.accepted", 1, acceptedAt=ENDED.isoformat()),
            told("delivery.started", 2, deliveryId="d-1"),
            told(
                "delivery.completed", 3, deliveryId="d-1", finishedAt=ENDED.isoformat()
            ),
            duplicate(1),
            rejected(2, "invalid_json"),
            told("delivery.accepted", 1, acceptedAt=anew),
            told("delivery.started", 2, deliveryId="d-2"),
        ),
        commands=(*GOOD.commands[:3], CommandRow(0, 3, "c-1", b"{}")),
        snapshots={"c-1": SnapshotRow("started", 2)},
        answered_below={0: 4},
        dedupe_window=WEEK,
    )


def test_an_id_that_was_used_anew_when_it_was_forgotten_is_of_two_commands() -> None:
    assert judge(lived_twice(WEEK)).violations == []


def test_each_of_two_commands_of_one_id_is_judged() -> None:
    two = lived_twice(WEEK)
    cut = replace(two, events=[e for n, e in enumerate(two.events) if n != 6])
    more = CommandRow(0, 4, "c-1", b"{}")
    missed = replace(two, commands=(*two.commands, more), answered_below={0: 5})
    twice = replace(two, events=(*two.events[:-1], two.events[1]))

    assert [each for each, _ in judge(cut).violations] == [SNAPSHOT]
    assert [each for each, _ in judge(missed).violations] == [ANSWERED]
    assert BOUND in [each for each, _ in judge(twice).violations]


def test_an_id_that_was_used_anew_elsewhere_is_of_two_commands_in_any_order() -> None:
    """After a growth of the events topic their events are on two partitions."""
    two = lived_twice(WEEK)
    later = [replace(event, partition=1) for event in two.events[5:]]

    assert judge(replace(two, events=[*later, *two.events[:5]])).violations == []
    assert judge(replace(two, events=[*two.events[:5], *later])).violations == []


@pytest.mark.parametrize("window", [WEEK + timedelta(minutes=1), None])
def test_an_id_that_was_accepted_again_before_it_was_forgotten_is_told(
    window: timedelta | None,
) -> None:
    early = replace(lived_twice(WEEK), dedupe_window=window)

    violated = {each for each, _ in judge(early).violations}

    assert violated >= {SEQUENCE, ACCEPTED, TERMINAL, BOUND, ANSWERED}


def test_events_that_retention_took_are_not_missed() -> None:
    """Kafka keeps a week unless told otherwise: the guarantees held all the same."""
    for left in (GOOD.events[1:], GOOD.events[2:], GOOD.events[3:], GOOD.events[4:]):
        cut = replace(GOOD, events=left, untold_until={0: 10})

        assert judge(cut).violations == []
        assert judge(replace(cut, untold_until={})).violations != []


def test_what_comes_after_the_events_that_retention_took_is_judged() -> None:
    late = (ENDED + timedelta(minutes=1)).isoformat()
    until = round(ENDED.timestamp() * 1000)
    cut = replace(GOOD, untold_until={0: until})
    gap = replace(cut, events=[told("delivery.started", 2), *GOOD.events[3:]])
    first = told("delivery.progressed", 2, "c-9", acceptedAt=late)
    unanswered = CommandRow(0, 3, "c-8", b"{}", at=until + 60_000)
    missed = replace(
        cut, commands=(*GOOD.commands[:3], unanswered), answered_below={0: 4}
    )
    other = replace(GOOD, events=GOOD.events[2:], untold_until={1: until})

    assert [each for each, _ in judge(gap).violations] == [SNAPSHOT]
    gap = replace(gap, events=[*gap.events[:1], told("delivery.completed", 4)])
    assert SEQUENCE in [each for each, _ in judge(gap).violations]
    begun = replace(cut, events=(*cut.events, first))
    assert {SEQUENCE, ACCEPTED} <= {each for each, _ in judge(begun).violations}
    assert [each for each, _ in judge(missed).violations] == [ANSWERED]
    assert {SEQUENCE, ACCEPTED} <= {each for each, _ in judge(other).violations}


def test_dead_letters_that_retention_took_are_not_missed() -> None:
    cut = replace(GOOD, dead_letters=(), unparked_until=10)
    later = rejected(2, "invalid_json", at=60_000)

    assert judge(cut).violations == []
    assert [each for each, _ in judge(replace(cut, unparked_until=0)).violations] == [
        PARKED
    ]
    cut = replace(cut, events=(*GOOD.events[:4], later))
    assert [each for each, _ in judge(cut).violations] == [PARKED]


def test_what_retention_took_is_not_missed() -> None:
    later = replace(GOOD, commands=GOOD.commands[1:])

    verdict = judge(later)

    assert verdict.violations == []
    assert not verdict.checked[ORIGIN]


def test_where_retention_took_all_of_a_partition_nothing_is_missed() -> None:
    other = replace(told("delivery.accepted", 1, "c-8"), partition=1)
    kept = {**GOOD.snapshots, "c-8": SnapshotRow("accepted", 1)}
    empty = replace(GOOD, events=(*GOOD.events, other), snapshots=kept)

    assert [each for each, _ in judge(empty).violations] == [ORIGIN]
    assert judge(replace(empty, answered_below={0: 3, 1: 4})).violations == []
    unread = replace(empty, answered_below={0: 3, 1: 0})
    assert [each for each, _ in judge(unread).violations] == [ORIGIN]


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


def read_again(left: Left, *more: EventRow, before: int = 3, times: int = 1) -> History:
    """A log of which what is before an offset was read once more, and answered so."""
    parked = sum(each.kind == "command.rejected" for each in more)
    return replace(
        GOOD,
        events=(*GOOD.events, *more),
        dead_letters=tuple(GOOD.dead_letters) * (1 + parked),
        read_again={0: ReadAgain(0, before, times, left)},
    )


AGAIN = (duplicate(0, at=9), duplicate(1, at=9), rejected(2, "invalid_json", at=9))


@pytest.mark.parametrize("left", Left)
def test_what_was_read_again_is_answered_and_parked_once_more(left: Left) -> None:
    """The log was cut, and is read from its beginning: the state says up to where."""
    once_more = read_again(left, *AGAIN)

    assert judge(once_more).violations == []
    assert {e for e, _ in judge(replace(once_more, read_again={})).violations} == {
        ANSWERED,
        PARKED,
    }
    assert judge(read_again(left, *AGAIN, *AGAIN[:2], times=2)).violations == []
    # The offset was lost, and with it how far was read: it may have been less.
    assert judge(read_again(left)).violations == []


def test_what_nobody_answered_at_all_is_missed_where_it_was_read_again_too() -> None:
    missed = replace(GOOD, events=GOOD.events[:3])
    again = replace(missed, read_again={0: ReadAgain(0, 3, 1, Left.PART)})

    assert [what for _, what in judge(again).violations] == [
        "partition 0, offset 2: 0",
        "partition 0, c-1: [0, 0]",
    ]


def parked(history: History, *values: bytes) -> History:
    letters = tuple(DeadLetterRow(0, 2, each) for each in values)
    return replace(history, dead_letters=letters)


WRONG_AGAIN: list[tuple[str, Invariant, Callable[[Left], History]]] = [
    (
        "an answer more than readings",
        ANSWERED,
        lambda left: read_again(left, *AGAIN, duplicate(1, at=9)),
    ),
    (
        "an answer more than readings to what cannot be read",
        ANSWERED,
        lambda left: read_again(left, *AGAIN, rejected(2, "invalid_json", at=9)),
    ),
    (
        "a second answer where nothing was read again",
        ANSWERED,
        lambda left: read_again(left, *AGAIN[:2], duplicate(1, at=9), before=1),
    ),
    (
        "answered only as if it were another record",
        ANSWERED,
        lambda left: replace(
            read_again(left),
            events=(*GOOD.events[:4], duplicate(2, "c-7"), duplicate(2, "c-8")),
        ),
    ),
    (
        "a dead letter more than readings",
        PARKED,
        lambda left: parked(read_again(left, *AGAIN), b"?", b"?", b"?"),
    ),
    (
        "a rejection whose record is not parked",
        PARKED,
        lambda left: parked(read_again(left, *AGAIN), b"?"),
    ),
    (
        "no dead letter has the bytes of what is there",
        PARKED,
        lambda left: parked(read_again(left, *AGAIN), b"!", b"!"),
    ),
]
# What only shows where the records are known to be those that stood there before.
WRONG_OF_THE_SAME: list[tuple[str, Invariant, Callable[[Left], History]]] = [
    (
        "a conflict of the bytes that were a duplicate",
        ANSWERED,
        lambda left: read_again(left, *AGAIN[::2], rejected(1, "conflict", "c-1", 9)),
    ),
    (
        "a conflict of the bytes that were accepted",
        ANSWERED,
        lambda left: read_again(left, rejected(0, "conflict", "c-1", 9), *AGAIN[1:]),
    ),
    (
        "a duplicate of what cannot be read",
        ANSWERED,
        lambda left: read_again(left, *AGAIN[:2], duplicate(2, "c-2", 9)),
    ),
    (
        "another reason for the same bytes",
        ANSWERED,
        lambda left: read_again(left, *AGAIN[:2], rejected(2, "invalid_command")),
    ),
    (
        "a refused order, and there is none",
        ANSWERED,
        lambda left: read_again(left, *AGAIN[::2], rejected(1, "not_held", "c-1", 9)),
    ),
    (
        "a second answer about somebody else",
        ANSWERED,
        lambda left: read_again(left, AGAIN[0], duplicate(1, "c-2", 9), AGAIN[2]),
    ),
    (
        "more answers than one reading of each left, beside the accepted one",
        ANSWERED,
        lambda left: read_again(left, *AGAIN, duplicate(0, at=9)),
    ),
    (
        "a dead letter of other bytes",
        PARKED,
        lambda left: parked(read_again(left, *AGAIN), b"?", b"!"),
    ),
    (
        "an accepted command whose records were all known before",
        ANSWERED,
        lambda left: replace(
            read_again(left),
            events=(*GOOD.events, duplicate(0, at=9), duplicate(0, at=9)),
        ),
    ),
]


@pytest.mark.parametrize("left", Left)
@pytest.mark.parametrize(("name", "invariant", "wrong"), WRONG_AGAIN)
def test_what_was_read_again_is_judged(
    name: str, invariant: Invariant, wrong: Callable[[Left], History], left: Left
) -> None:
    assert invariant in {each for each, _ in judge(wrong(left)).violations}, name


@pytest.mark.parametrize("left", [Left.ALL, Left.PART])
@pytest.mark.parametrize(("name", "invariant", "wrong"), WRONG_OF_THE_SAME)
def test_what_was_read_again_and_is_still_there_is_judged_by_what_may_follow(
    name: str, invariant: Invariant, wrong: Callable[[Left], History], left: Left
) -> None:
    assert invariant in {each for each, _ in judge(wrong(left)).violations}, name


def test_where_other_records_stand_now_each_answer_may_be_of_another() -> None:
    """The topic was remade: at the places of the former one stand others."""
    now = (
        CommandRow(0, 0, "c-5", b"{5}", at=5),
        CommandRow(0, 1, None, b"now", at=5, kind=RecordKind.UNREADABLE),
        CommandRow(0, 2, "c-6", b"{6}", at=5),
    )
    remade = replace(
        GOOD,
        events=(
            *GOOD.events,
            told("delivery.accepted", 1, "c-5"),
            rejected(1, "invalid_command", at=9),
            rejected(2, "unknown_route", "c-6", 9),
        ),
        commands=now,
        dead_letters=(
            *GOOD.dead_letters,
            DeadLetterRow(0, 1, b"now"),
            DeadLetterRow(0, 2, b"{6}"),
        ),
        snapshots={**GOOD.snapshots, "c-5": SnapshotRow("accepted", 1)},
        earlier=frozenset({"c-1"}),
        read_again={0: ReadAgain(0, 3, 1, Left.NOTHING)},
    )
    cut = replace(remade, read_again={0: ReadAgain(0, 3, 1, Left.PART)})
    unread = replace(remade, events=remade.events[:-1])
    # From a back-up, say: each is as old as it was, and stands elsewhere.
    restored = replace(remade, commands=tuple(replace(each, at=0) for each in now))

    assert judge(restored).violations == []
    assert judge(remade).violations == []
    assert judge(cut).violations == [], "what is younger than an answer is another"
    assert [what for _, what in judge(unread).violations] == [
        "partition 0, offset 2: 1 (invalid_json)"
    ]


def test_what_was_cut_off_is_not_missed() -> None:
    """The tail is lost: a command that was accepted from it, and its first record."""
    rest = replace(GOOD, commands=(CommandRow(0, 0, "c-5", b"{5}", at=5),))
    later = (told("delivery.accepted", 1, "c-5"), duplicate(0, "c-5", 9))
    snapshots = {**GOOD.snapshots, "c-5": SnapshotRow("accepted", 1)}
    again = replace(rest, events=(*GOOD.events, *later), snapshots=snapshots)
    cut = replace(again, read_again={0: ReadAgain(0, 9, 1, Left.PART)})

    assert {each for each, _ in judge(again).violations} == {ANSWERED, ORIGIN}
    assert judge(cut).violations == []
    assert not judge(cut).checked[ORIGIN]


def test_a_repeat_of_what_was_cut_off_need_not_be_what_was_accepted() -> None:
    """It was published when its first record was gone, and is known."""
    repeat = CommandRow(0, 3, "c-5", b"{5}", at=5)
    later = (told("delivery.accepted", 1, "c-5"), duplicate(3, "c-5", 9))
    cut = replace(
        read_again(Left.PART),
        events=(*GOOD.events, *later),
        commands=(*GOOD.commands[:3], repeat),
        snapshots={**GOOD.snapshots, "c-5": SnapshotRow("accepted", 1)},
        answered_below={0: 4},
    )
    whole = replace(cut, read_again={0: ReadAgain(0, 3, 1, Left.ALL)})

    assert judge(cut).violations == []
    assert [each for each, _ in judge(whole).violations] == [ANSWERED]


def test_while_a_log_is_read_again_what_is_not_reached_yet_is_not_missed() -> None:
    """The second record was accepted, and only the first one is read again by now."""
    half = replace(
        GOOD,
        events=(
            *GOOD.events[:3],
            rejected(0, "unknown_route", "c-1"),
            duplicate(0, at=9),
        ),
        dead_letters=(DeadLetterRow(0, 0, b"{}"),),
        answered_below={0: 1},
        read_again={0: ReadAgain(0, 3, 1, Left.ALL)},
    )

    assert judge(half).violations == []
    whole = replace(half, answered_below={0: 2}, commands=GOOD.commands[:2])
    assert judge(whole).violations == []
    assert [
        each
        for each, _ in judge(
            replace(
                whole,
                answered_below={0: 1},
                read_again={0: ReadAgain(0, 1, 1, Left.ALL)},
            )
        ).violations
    ] == [ANSWERED]


def test_an_answer_about_another_record_is_none() -> None:
    """The state of a partition was mixed up, say: each place has its answer."""
    mixed = replace(GOOD, events=(*GOOD.events[:3], duplicate(1, "c-2"), duplicate(2)))

    assert [what for _, what in judge(mixed).violations] == [
        "partition 0, offset 2: 1 (duplicate)",
        "partition 0, c-1: [0, 1] (duplicate)",
        "partition 0, offset 2: 1 dead letters",
    ]


def test_where_our_own_code_failed_no_id_is_needed() -> None:
    aside = replace(
        GOOD,
        events=(*GOOD.events[:3], rejected(1, "internal_error"), GOOD.events[4]),
        dead_letters=(*GOOD.dead_letters, DeadLetterRow(0, 1, b"{}")),
    )

    assert judge(aside).violations == []


def test_an_order_that_waits_for_jet_is_not_answered_yet() -> None:
    order = replace(GOOD.commands[1], kind=RecordKind.RESOLVE)
    unanswered = replace(
        without_event(3), commands=(GOOD.commands[0], order, *GOOD.commands[2:])
    )

    assert [each for each, _ in judge(unanswered).violations] == [ANSWERED]
    waiting = replace(unanswered, waiting=frozenset({order.place}))
    assert judge(waiting).violations == []


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
