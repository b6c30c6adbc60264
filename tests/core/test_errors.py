"""The error tree: what each says to whoever catches it."""

from jetworker.core import errors
from jetworker.core.command import Reject, Rejection
from jetworker.core.errors import (
    InputGap,
    InvalidRecord,
    JetNotFound,
    JetRejected,
    JetUnavailable,
    JetworkerError,
)


def test_the_tree_is_drawn_with_every_error_in_its_place() -> None:
    drawn = [line for line in (errors.__doc__ or "").splitlines() if "-- " in line]
    names = [line.split("-- ")[1].split(" ")[0] for line in drawn]
    defined = [
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, JetworkerError)
    ]

    assert sorted([*names, "JetworkerError"]) == sorted(defined)


def test_an_unavailable_jet_says_when_to_ask_again() -> None:
    assert JetUnavailable("no answer").retry_after is None
    assert JetUnavailable("too many", 3.0).retry_after == 3.0


def test_what_does_not_exist_was_refused() -> None:
    error = JetNotFound(404, "no such job")

    assert isinstance(error, JetRejected)
    assert (error.status, str(error)) == (404, "no such job")


def test_an_invalid_record_holds_its_answer() -> None:
    reject = Reject(Rejection.INVALID_JSON, "not JSON")

    assert InvalidRecord(reject).reject == reject
    assert str(InvalidRecord(reject)) == "not JSON"


def test_a_gap_in_the_input_names_its_partition() -> None:
    gap = InputGap(3)

    assert (gap.partition, str(gap)) == (
        3,
        "commands that were to be read next are gone",
    )
