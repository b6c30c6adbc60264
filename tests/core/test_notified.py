"""Notifications make questions rarer only while Jet's answers bear them out."""

from datetime import timedelta

from jetworker.core.command import DeliveryId
from jetworker.core.notified import DOUBTED_FOR, RELIED_ON_FOR, Notified
from jetworker.core.polling import Pace

D1, D2 = DeliveryId("d-1"), DeliveryId("d-2")
PACE = Pace(timedelta(seconds=2), timedelta(seconds=60))


def test_what_was_never_confirmed_is_not_relied_on() -> None:
    assert Notified().relied_on(1000.0) == 0.0


def test_a_confirmed_one_is_relied_on_for_a_minute() -> None:
    notified = Notified().confirmed(1000.0)

    assert [notified.relied_on(at) for at in (1000.0, 1045.0, 1061.0)] == [60, 15, 0]


def test_an_end_that_none_announces_ends_the_reliance_for_a_while() -> None:
    """Another worker behind the same URL got it, or nobody did."""
    notified = Notified().confirmed(1000.0).ended(D1, 1001.0)

    assert notified.relied_on(1005.0) > 0  # it may be on its way
    assert notified.relied_on(1012.0) == 0
    doubted = notified.settled(1012.0).confirmed(1013.0)
    assert doubted.relied_on(1014.0) == 0
    assert doubted.confirmed(1012.0 + DOUBTED_FOR).relied_on(1012.0 + DOUBTED_FOR) == (
        RELIED_ON_FOR
    )


def test_an_end_that_is_announced_late_was_announced() -> None:
    notified = Notified().ended(D1, 1001.0).ended(D2, 1002.0)

    assert notified.announced(DeliveryId("d-3"), 1003.0) == notified
    both = notified.announced(D1, 1003.0).announced(D2, 1004.0)
    assert both == Notified(confirmed_at=1004.0)


def test_an_end_that_is_seen_again_is_awaited_since_it_was_seen_first() -> None:
    assert Notified().ended(D1, 1.0).ended(D1, 5.0).awaited == {D1: 1.0}


def test_questions_are_put_off_to_the_longest_interval_and_no_further() -> None:
    put_off = [PACE.put_off(3, 1000, each) for each in (0, 20, 60, 3600)]

    assert put_off == [3, 20, 60, 60]


def test_questions_are_put_off_by_half_of_what_a_delivery_has_taken() -> None:
    """So an end that none announces is seen late by a part of what it took."""
    assert [PACE.put_off(2, age, 60) for age in (0, 10, 90, 600)] == [2, 5, 45, 60]


def test_one_that_was_not_read_ends_the_reliance_for_a_while() -> None:
    notified = Notified().confirmed(1000.0).missed(1001.0)

    assert notified.relied_on(1001.0) == 0
    assert notified.confirmed(1001.0 + DOUBTED_FOR).relied_on(1001.0 + DOUBTED_FOR) > 0
