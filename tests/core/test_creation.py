"""What Jet's ledger shows that no topic can: a second creation, or somebody else's."""

from dataclasses import replace

import pytest

from jetworker.core.audit import (
    CREATED,
    MADE,
    CommandRow,
    CreationRow,
    EventRow,
    History,
    Invariant,
    Verdict,
    judge_creations,
)


def started(command_id: str, delivery_id: str) -> tuple[EventRow, EventRow]:
    data = {"sequence": 2, "deliveryId": delivery_id}
    accepted = EventRow("delivery.accepted", command_id, 0, {"sequence": 1})
    return accepted, EventRow("delivery.started", command_id, 0, data)


HISTORY = History(
    events=(*started("c-1", "d-1"), *started("c-2", "d-2")),
    commands=(
        CommandRow(0, 0, "c-1", b"{}", None, ("/a",)),
        CommandRow(0, 1, "c-2", b"{}", None, ("/b", "/c")),
        CommandRow(0, 2, "c-1", b"{}", None, ("/a",)),
    ),
)
GOOD = (CreationRow("d-1", ("/a",)), CreationRow("d-2", ("/b", "/c")))


def judged(*made: CreationRow) -> Verdict:
    verdict = Verdict()
    judge_creations(verdict, HISTORY, made)
    return verdict


def test_one_creation_for_each_command_is_right_and_a_person_s_is_nobody_s() -> None:
    verdict = judged(*GOOD, CreationRow("d-9", ("/z",), is_foreign=True))

    assert verdict.violations == []
    assert (verdict.checked[CREATED], verdict.checked[MADE]) == (2, 2)


@pytest.mark.parametrize(
    ("invariant", "made"),
    [
        (CREATED, (*GOOD, CreationRow("d-3", ("/a",)))),
        (CREATED, (*GOOD, CreationRow("d-3", ("/unasked",)))),
        (MADE, GOOD[:1]),
        (MADE, (GOOD[0], CreationRow("d-2", ("/other",)))),
    ],
)
def test_a_corrupted_ledger_is_seen(
    invariant: Invariant, made: tuple[CreationRow, ...]
) -> None:
    assert invariant in {each for each, _ in judged(*made).violations}


def test_a_ledger_without_creations_is_no_proof() -> None:
    verdict = Verdict()
    judge_creations(verdict, History(()), ())

    assert {CREATED, MADE} <= set(verdict.unchecked)


def test_what_a_refused_record_asks_for_is_not_what_its_id_was_accepted_for() -> None:
    """A conflict has the id of a command, and other objects."""
    conflict = EventRow(
        "command.rejected",
        "c-1",
        0,
        {"partition": 0, "offset": 9, "reason": {"code": "conflict"}},
    )
    also_refused = replace(
        HISTORY,
        events=(*HISTORY.events, conflict),
        commands=(*HISTORY.commands, CommandRow(0, 9, "c-1", b"", paths=("/other",))),
    )
    verdict = Verdict()

    judge_creations(verdict, also_refused, GOOD)

    assert verdict.violations == []
