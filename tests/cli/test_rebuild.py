"""Where reading goes on after a rebuild, if the group's offsets are lost too."""

from dataclasses import replace

from jetworker.cli.rebuild import Told
from jetworker.core.command import CommandId, ObjectSpec, RouteName, Send
from jetworker.core.resumption import Left, Position, ReadAgain
from jetworker.wire.events import ReadEvent

SEND = Send(CommandId("c-1"), RouteName("a"), (ObjectSpec("/a.mov"),), b"f", None, None)


def told_of(accepted_at: int, begins: dict[int, int]) -> Told:
    return Told(accepted_at={SEND.command_id: accepted_at}, begins=begins)


_LIFE = ("accepted", "started", "progressed", "completed")


def note_life(told: Told, at: int, partition: int = 0, ended: int = len(_LIFE)) -> None:
    """Take note of the first events of a command, told one after the other."""
    for number, kind in enumerate(_LIFE[:ended]):
        event = ReadEvent(
            f"delivery.{kind}", "c-1", {"sequence": number + 1}, b"{}", None, partition
        )
        told.note_event(event, "c-1", at + number)


def numbers_of(told: Told) -> list[int]:
    return [each.data["sequence"] for each in told.events["c-1"]]


def test_of_an_id_that_was_used_anew_only_what_was_told_since_is_its_own() -> None:
    """Numbered on from the events of its predecessor it would have a gap."""
    told = Told(begins={0: 0})

    note_life(told, at=1)
    note_life(told, at=100, ended=2)

    assert numbers_of(told) == [1, 2]


def test_what_was_told_of_its_predecessor_elsewhere_is_not_its_own_either() -> None:
    """After a growth of the events topic they are on two partitions, read in any order."""
    before, after = Told(), Told()

    note_life(before, at=100, partition=1, ended=2)
    note_life(before, at=1, partition=0)
    note_life(after, at=1, partition=0)
    note_life(after, at=100, partition=1, ended=2)

    assert numbers_of(before) == numbers_of(after) == [1, 2]


def test_an_id_that_was_used_anew_is_of_the_record_after_its_predecessor_ended() -> (
    None
):
    told = Told(begins={0: 0})
    anew = replace(SEND, fingerprint=b"other content")

    note_life(told, at=1)
    note_life(told, at=100, ended=2)
    told.note_send(SEND, 0, 3, at=1)
    told.note_send(anew, 0, 9, at=99)

    assert told.sends["c-1"] == (0, anew)
    assert told.goes_on(0) == 10


def test_it_goes_on_behind_the_first_record_of_what_was_accepted() -> None:
    told = told_of(5, begins={0: 0, 1: 0})

    told.note_send(SEND, 0, 7, at=5)
    told.note_send(SEND, 0, 9, at=5)

    assert (told.goes_on(0), told.goes_on(1)) == (8, 0)
    assert told.again(0, None) is None


def test_where_retention_took_records_only_an_answer_moves_it() -> None:
    """What is left first may be a repeat: unanswered commands would be passed over."""
    told = told_of(5, begins={0: 3, 1: 0})

    told.note_taken(0, 4)
    told.note_send(SEND, 0, 7, at=5)

    assert told.goes_on(0) == 5
    assert told.again(0, None) == ReadAgain(5, 8, 1, Left.ALL)
    assert told.again(0, 5) is None, "an offset that is known is right"
    older = Position("g", 4, again=ReadAgain(0, 2, 1, Left.PART))
    assert told.again(0, 5, older) == ReadAgain(0, 2, 1, Left.PART)
    assert told.again(0, None, older) == ReadAgain(0, 8, 2, Left.PART)


def test_a_record_that_is_younger_than_its_acceptance_was_not_accepted() -> None:
    """The topic was made anew, and commands are published once more: nobody read them."""
    told = told_of(5, begins={0: 0})

    told.note_send(SEND, 0, 7, at=6)

    assert told.goes_on(0) == 0
    assert told.again(0, None) is None


def test_a_repeat_that_came_elsewhere_after_a_growth_moves_nothing() -> None:
    """Which of both was accepted is not told: before the other nobody may have read."""
    told = told_of(5, begins={0: 0, 4: 0})

    told.note_send(SEND, 4, 3, at=5)
    told.note_send(SEND, 0, 7, at=5)

    assert (told.goes_on(0), told.goes_on(4)) == (0, 0)
    assert told.again(4, None) == ReadAgain(0, 4, 1, Left.ALL)
