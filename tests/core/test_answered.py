"""What may follow what, where a record is read again: the table, row by row."""

import re
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetworker.core import answered
from jetworker.core.answered import (
    ACCEPTED,
    ANSWERS,
    APPLIED,
    DUPLICATE,
    RecordKind,
    are_possible,
    following,
    may_be_accepted_amid,
)
from jetworker.core.command import Rejection

SEND, CANCEL = RecordKind.SEND, RecordKind.CANCEL
RESOLVE, UNREADABLE = RecordKind.RESOLVE, RecordKind.UNREADABLE
ANY_SEND = "accepted duplicate conflict expired unknown_route path_not_allowed"
REFUSED = "unknown_command not_cancellable not_held"
RESOLVED = "applied unknown_command not_held not_adoptable"

# What may follow, beside internal_error, and too_many_objects of a send.
TABLE = {
    (SEND, "accepted"): "duplicate",
    (SEND, "duplicate"): "duplicate",
    (SEND, "conflict"): "conflict",
    (SEND, "expired"): "expired conflict",
    (SEND, "unknown_route"): ANY_SEND,
    (SEND, "path_not_allowed"): ANY_SEND,
    (SEND, "too_many_objects"): ANY_SEND,
    (SEND, "internal_error"): ANY_SEND,
    (CANCEL, "applied"): REFUSED,
    (CANCEL, "unknown_command"): f"applied {REFUSED}",
    (CANCEL, "not_cancellable"): f"applied {REFUSED}",
    (CANCEL, "not_held"): f"applied {REFUSED}",
    (CANCEL, "internal_error"): f"applied {REFUSED}",
    (RESOLVE, "applied"): RESOLVED,
    (RESOLVE, "unknown_command"): RESOLVED,
    (RESOLVE, "not_held"): RESOLVED,
    (RESOLVE, "not_adoptable"): RESOLVED,
    (RESOLVE, "internal_error"): RESOLVED,
    (UNREADABLE, "invalid_json"): "invalid_json",
    (UNREADABLE, "invalid_command"): "invalid_command",
    (UNREADABLE, "too_large"): "too_large",
    (UNREADABLE, "internal_error"): "invalid_json invalid_command too_large",
}
EVERY = [ACCEPTED, DUPLICATE, APPLIED, *(each.value for each in Rejection)]


@pytest.mark.parametrize(("kind", "before"), TABLE, ids=str)
def test_only_what_the_table_says_follows(kind: RecordKind, before: str) -> None:
    also = {"internal_error"} | ({"too_many_objects"} if kind is SEND else set())
    expected = set(TABLE[kind, before].split()) | also

    assert following(kind, before) == expected


def test_the_table_has_a_row_for_every_answer_and_each_is_of_some_kind() -> None:
    rows = {(kind, each) for kind, some in ANSWERS.items() for each in some}

    assert rows == TABLE.keys()
    assert {each for some in ANSWERS.values() for each in some} == set(EVERY)


def test_the_table_of_the_docstring_names_each_answer() -> None:
    words = set(re.findall(r"[a-z_]+", answered.__doc__ or ""))
    orders = {"unknown_command", "not_cancellable", "not_held", "not_adoptable"}
    unreadable = {"invalid_json", "invalid_command", "too_large"}

    assert set(EVERY) - orders - unreadable <= words


@given(st.sampled_from(RecordKind), st.lists(st.sampled_from(EVERY), max_size=4))
def test_answers_are_possible_if_each_follows_every_one_before(
    kind: RecordKind, answers: list[str]
) -> None:
    of_its_kind = all(each in ANSWERS[kind] for each in answers)
    steps = all(
        after in following(kind, before) for before, after in combinations(answers, 2)
    )

    assert are_possible(kind, answers) == (of_its_kind and steps)


@given(st.sampled_from(RecordKind), st.lists(st.sampled_from(EVERY), max_size=4))
def test_only_a_send_is_accepted_amid_and_none_that_was_known_otherwise(
    kind: RecordKind, answers: list[str]
) -> None:
    if may_be_accepted_amid(kind, answers):
        assert kind is SEND
        assert are_possible(kind, answers[1:])
        assert not {"conflict", "expired"} & set(answers[:1])


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([], True),
        (["duplicate", "duplicate"], True),
        (["unknown_route", "duplicate"], True),
        (["unknown_route"], True),
        (["internal_error", "duplicate"], True),
        (["conflict"], False),
        (["conflict", "internal_error"], False),
        (["expired", "internal_error"], False),
        (["expired", "too_many_objects"], False),
        (["expired"], False),
    ],
)
def test_where_an_acceptance_may_have_been(answers: list[str], expected: bool) -> None:
    assert may_be_accepted_amid(SEND, answers) is expected
