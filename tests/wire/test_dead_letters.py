"""Dead letters are read back as they were parked, and a replay gives back what came."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from jetworker.core.command import CommandId, Reject, Rejection
from jetworker.wire import dead_letters
from jetworker.wire.answers import Answers
from jetworker.wire.dead_letters import Letter, Mark, Position
from jetworker.wire.events import Envelope
from jetworker.wire.record import Headers, Record
from tests.support.builders import NOW, an_origin

PARKED = datetime(2026, 11, 23, 10, 0, 1, tzinfo=UTC)
VALUE = b'{"commandId": "c-1", "route": "nowhere"}'


@dataclass(frozen=True)
class Read:
    """A record as a consumer has it."""

    key: bytes | None
    value: bytes | None
    headers: Headers
    partition: int = 2
    offset: int = 5
    timestamp: int = field(default=int(PARKED.timestamp() * 1000))

    @classmethod
    def of(cls, record: Record) -> "Read":
        return cls(record.key, record.value, record.headers)


def parked(value: bytes | None = VALUE, headers: Headers = ()) -> Read:
    answers = Answers(Envelope("jet.events", "/jetworker/g"), "jet.dead-letters")
    reject = Reject(Rejection.UNKNOWN_ROUTE, "no such route", CommandId("c-1"))
    record = Record("jet.commands", b"c-1", value, headers)
    return Read.of(answers.rejected(reject, an_origin(), record, NOW)[1])


def letter(**changes: Any) -> Letter:
    found = dead_letters.read(parked(**changes))
    assert isinstance(found, Letter)
    return found


def test_a_letter_says_what_was_parked_why_and_where_it_was() -> None:
    found = letter(headers=(("h", b"\xff"),))

    assert found == Letter(
        position=Position(2, 5),
        parked_at=PARKED,
        reason="unknown_route",
        message="no such route",
        topic="jet.commands",
        partition=0,
        offset=7,
        key=b"c-1",
        value=VALUE,
        headers=found.headers,
        replayed_from=None,
    )
    assert ("h", b"\xff") in found.headers
    assert found.command_id == "c-1"


def test_a_replay_is_the_record_as_it_came_with_where_it_comes_from() -> None:
    again = dead_letters.replay(letter(headers=(("h", b"\xff"), ("n", None))))

    assert again == Record(
        "jet.commands",
        b"c-1",
        VALUE,
        (("h", b"\xff"), ("n", None), ("jetworker-replayed-from", b"2:5")),
        partition=0,
    )


def test_a_letter_that_came_from_a_replay_says_so_and_forgets_the_replay_before() -> (
    None
):
    again = letter(headers=(("jetworker-replayed-from", b"1:1"),))

    assert again.replayed_from == Position(1, 1)
    assert dead_letters.replay(again).headers == (("jetworker-replayed-from", b"2:5"),)


def test_a_mark_names_the_letter_that_was_replayed() -> None:
    mark = dead_letters.mark(letter(), "jet.dead-letters")

    assert (mark.topic, mark.partition, mark.key, mark.value) == (
        *("jet.dead-letters", 2, b"c-1", None),
    )
    assert dead_letters.read(Read.of(mark)) == Mark(Position(2, 5), PARKED)


def test_a_letter_whose_record_was_headed_like_a_mark_is_a_letter() -> None:
    """As where a mark itself was copied to the commands topic."""
    found = letter(headers=(("jetworker-replayed", b"0:1"),))

    assert found.reason == "unknown_route"
    assert dead_letters.replay(found).headers == (("jetworker-replayed-from", b"2:5"),)


@pytest.mark.parametrize(
    "header", [("jetworker-replayed", b"0:3"), ("jetworker-replayed-from", b"soon")]
)
def test_no_header_of_a_publisher_hides_its_letter_or_marks_another(
    header: tuple[str, bytes],
) -> None:
    found = letter(headers=(header,))

    assert found.position == Position(2, 5)
    assert found.replayed_from is None


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("jetworker-reason", b"x"),),
        (("jetworker-replayed", b"soon"),),
        (("jetworker-replayed", None),),
        tuple(
            (f"jetworker-{name}", b"x")
            for name in ("reason", "message", "topic", "partition", "offset")
        ),
    ],
)
def test_what_others_wrote_into_the_topic_is_no_letter(headers: Headers) -> None:
    assert dead_letters.read(Read(b"k", b"v", headers)) is None


@pytest.mark.parametrize(
    "value", [None, b"", b"\xff", b"[]", b"3", b'{"commandId": 3}', b"{}"]
)
def test_a_letter_whose_id_cannot_be_read_has_none(value: bytes | None) -> None:
    assert letter(value=value).command_id is None


@pytest.mark.parametrize("text", ["", "1", "1:", ":1", "a:1", "1:-1", "1:2:3", "1.0:2"])
def test_a_position_is_a_partition_and_an_offset(text: str) -> None:
    with pytest.raises(ValueError, match="PARTITION:OFFSET"):
        Position.parse(text)


def test_a_position_is_written_as_it_is_read() -> None:
    assert str(Position.parse("3:14")) == "3:14"
    assert orjson.loads(letter().value or b"")["route"] == "nowhere"
