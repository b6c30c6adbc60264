"""Where reading goes on after a rebuild, if the group's offsets are lost too."""

from jetworker.cli.rebuild import Told
from jetworker.core.command import CommandId, ObjectSpec, RouteName, Send

SEND = Send(CommandId("c-1"), RouteName("a"), (ObjectSpec("/a.mov"),), b"f", None, None)


def test_it_goes_on_behind_the_first_record_of_what_was_accepted() -> None:
    told = Told(begins={0: 0, 1: 0})

    told.note_send(SEND, 0, 7)
    told.note_send(SEND, 0, 9)

    assert (told.goes_on(0), told.goes_on(1)) == (8, 0)


def test_where_retention_took_records_only_an_answer_moves_it() -> None:
    """What is left first may be a repeat: unanswered commands would be passed over."""
    told = Told(begins={0: 3, 1: 0})

    told.note_taken(0, 4)
    told.note_send(SEND, 0, 7)

    assert told.goes_on(0) == 5
