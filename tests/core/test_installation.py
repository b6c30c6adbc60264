"""The table of the whole installation: what it counts, finds, and how much it keeps."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from jetworker.core.command import CommandId, DeliveryId, RouteName
from jetworker.core.delivery import FailedObjects, Reason, ReasonCode, State
from jetworker.core.installation import (
    Gone,
    Group,
    Installation,
    Letter,
    Obstacle,
    Page,
    Position,
    Query,
    Row,
    Told,
)
from tests.support.builders import NOW, SECOND

PAUSED = Reason(ReasonCode.JOB_PAUSED, "the job is paused")
LIMIT = Reason(ReasonCode.LIMIT, "max_active is reached")


def a_row(command_id: str, state: State = State.ACCEPTED, **changes: Any) -> Row:
    row = Row(CommandId(command_id), RouteName("archive"), state, NOW, Position(0, 1))
    return replace(row, **changes)


def filled(*rows: Row) -> Installation:
    made = Installation()
    for row in rows:
        made.put(row)
    return made


def ids(page: Page[Row]) -> list[str]:
    return [row.command_id for row in page.items]


def test_the_latest_snapshot_of_a_command_replaces_the_one_before() -> None:
    made = filled(a_row("a"), a_row("b"), a_row("a", State.FAILED))

    assert made.row("a") == a_row("a", State.FAILED)
    assert {group: made.total(Query(group)) for group in Group} == {
        Group.ALL: 2,
        Group.OPEN: 1,
        Group.WAITING: 1,
        Group.UNCERTAIN: 0,
        Group.HELD: 0,
        Group.RUNNING: 0,
        Group.ENDED: 1,
        Group.COMPLETED: 0,
        Group.FAILED: 1,
        Group.CANCELLED: 0,
    }


@pytest.mark.parametrize("state", State)
def test_every_state_is_in_all_and_either_open_or_ended(state: State) -> None:
    made = filled(a_row("a", state))

    counted = [made.total(Query(group)) for group in (Group.OPEN, Group.ENDED)]
    assert made.total(Query()) == 1
    assert sorted(counted) == [0, 1]


def test_what_is_open_comes_oldest_first_and_what_ended_latest_first() -> None:
    made = filled(*(a_row(name) for name in "abc"))
    for name in "ba":
        made.put(a_row(name, State.COMPLETED))
    made.put(a_row("d"))

    assert ids(made.page(Query(Group.OPEN))) == ["c", "d"]
    assert ids(made.page(Query(Group.COMPLETED))) == ["a", "b"]
    assert ids(made.page(Query())) == ["d", "a", "b", "c"]


def test_a_page_says_how_many_there_are_in_all() -> None:
    made = filled(*(a_row(f"c-{number}") for number in range(7)))

    page = made.page(Query(Group.OPEN), offset=5, limit=3)

    assert (page.total, ids(page)) == (7, ["c-5", "c-6"])


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (Query(route="b"), ["y"]),
        (Query(reason="limit"), ["z"]),
        (Query(text="x"), ["x"]),
        (Query(text="b0de"), ["y"]),
        (Query(Group.WAITING, text="b0de"), []),
        (Query(Group.WAITING, route="archive", reason="limit"), ["z"]),
    ],
)
def test_a_query_finds_and_counts_the_same(query: Query, found: list[str]) -> None:
    made = filled(
        a_row("x"),
        a_row(
            "y", State.STARTED, route=RouteName("b"), delivery_id=DeliveryId("b0de-1")
        ),
        a_row("z", State.WAITING, reason=LIMIT),
    )

    page = made.page(query)

    assert (ids(page), page.total) == (found, len(found))


def test_a_tombstone_forgets_a_command_with_all_that_is_about_it() -> None:
    made = filled(a_row("a", State.FAILED))
    made.hear(Told(CommandId("a"), Position(0, 3), FailedObjects(1, ("/a",))))

    made.forget(Gone(CommandId("a"), Position(0, 9)))
    made.forget(Gone(CommandId("a"), Position(0, 10)))

    assert made.row("a") is None
    assert made.events("a") == ()
    assert made.failed_objects("a") is None
    assert (made.total(Query()), made.routes()) == (0, frozenset())


def test_a_tombstone_of_another_partition_is_not_the_command_s() -> None:
    made = filled(a_row("a", at=Position(4, 1)))

    made.forget(Gone(CommandId("a"), Position(0, 9)))

    assert made.row("a") is not None


def test_why_commands_of_a_route_wait_is_counted_most_first() -> None:
    made = filled(
        a_row("a", State.WAITING, reason=LIMIT),
        a_row("b", State.WAITING, reason=PAUSED),
        a_row("c", State.WAITING, reason=PAUSED, changed_at=NOW + SECOND),
        a_row("d", State.WAITING, reason=PAUSED, route=RouteName("other")),
        a_row("e", State.WAITING),
        a_row("f"),
    )

    made.put(a_row("a", State.WAITING, reason=LIMIT, changed_at=NOW + 2 * SECOND))

    assert made.obstacles("archive") == (
        Obstacle(PAUSED, 2, NOW + SECOND),
        Obstacle(LIMIT, 1, NOW + 2 * SECOND),
    )
    assert made.routes() == {"archive", "other"}


def test_events_are_remembered_by_place_once_and_in_order() -> None:
    made = filled(a_row("a"))
    for offset in (3, 5, 5, 4, 9):
        made.hear(Told(CommandId("a"), Position(1, offset)))
    made.hear(Told(CommandId("a"), Position(2, 10)))

    assert made.events("a") == (Position(1, 3), Position(1, 5), Position(1, 9))
    assert made.events("b") == ()


def test_of_very_many_events_the_first_and_the_latest_are_remembered() -> None:
    made = filled(a_row("a"))
    for offset in range(1000):
        made.hear(Told(CommandId("a"), Position(0, offset)))

    kept = [place.offset for place in made.events("a")]
    assert kept == [*range(20), *range(820, 1000)]


def test_which_objects_failed_is_told_by_an_event() -> None:
    made = filled(a_row("a", State.FAILED))
    made.hear(Told(CommandId("a"), Position(0, 1), FailedObjects(2, ("/a", "/b"))))
    made.hear(Told(CommandId("a"), Position(0, 2)))

    assert made.failed_objects("a") == FailedObjects(2, ("/a", "/b"))


def test_events_that_come_before_their_row_are_kept_but_not_without_end() -> None:
    made = Installation()
    for number in range(10_001):
        made.hear(Told(CommandId(f"c-{number}"), Position(0, number)))
    made.put(a_row("c-1"))

    assert made.events("c-0") == ()
    assert made.events("c-1") == (Position(0, 1),)
    assert made.events("c-10000") == (Position(0, 10_000),)


def a_letter(offset: int, reason: str = "conflict", key: str | None = "k") -> Letter:
    return Letter(Position(0, offset), NOW, reason, "why", key)


def test_dead_letters_come_latest_first_and_a_record_read_again_is_one() -> None:
    made = Installation()
    for letter in (a_letter(1), a_letter(2, "expired", None), a_letter(2), a_letter(3)):
        made.park(letter)

    assert made.letters() == Page(
        3, (a_letter(3), a_letter(2, "expired", None), a_letter(1))
    )
    assert made.letters("conflict", offset=1) == Page(2, (a_letter(1),))
    assert made.letters(text="k").total == 2
    assert made.letter_reasons() == {"conflict": 2, "expired": 1}
    assert made.letter(Position(0, 1)) == a_letter(1)
    assert made.letter(Position(0, 9)) is None


def test_the_oldest_dead_letters_are_dropped_but_counted() -> None:
    made = Installation(most_letters=2)
    for offset in range(5):
        made.park(a_letter(offset))

    assert (made.parked, made.letters().total) == (5, 2)
    assert made.letter(Position(0, 0)) is None


def test_a_replayed_letter_is_marked() -> None:
    made = Installation()
    made.park(a_letter(1))
    made.mark_replayed(Position(0, 1))

    assert made.is_replayed(Position(0, 1))
    assert not made.is_replayed(Position(0, 2))


def test_the_version_grows_with_every_change_and_with_nothing_else() -> None:
    made = Installation()
    versions = [made.version]
    changes: tuple[Callable[[], None], ...] = (
        lambda: made.put(a_row("a")),
        lambda: made.hear(Told(CommandId("a"), Position(0, 1))),
        lambda: made.park(a_letter(1)),
        lambda: made.mark_replayed(Position(0, 1)),
        lambda: made.forget(Gone(CommandId("a"), Position(0, 2))),
    )
    for change in changes:
        change()
        versions.append(made.version)
    made.page(Query())
    made.park(a_letter(1))

    assert versions == [0, 1, 2, 3, 4, 5]
    assert made.version == 5
