"""When a start can have been applied, by Jet's clock."""

from dataclasses import replace
from datetime import timedelta

from jetworker.core.delivery import Intent, State
from jetworker.core.open_intent import OpenIntent, earliest, open_intent
from tests.support.builders import JOB, NOW, SECOND, a_delivery

MINUTE = timedelta(minutes=1)
DELIVERY = a_delivery(State.UNCERTAIN)
INTENT = Intent(JOB, NOW, NOW)


def test_it_is_applied_within_the_longest_way_by_clocks_that_need_not_agree() -> None:
    found = open_intent(DELIVERY, INTENT, MINUTE)

    assert found == OpenIntent(
        DELIVERY.command_id, NOW, NOW, DELIVERY.objects, None, NOW + MINUTE + 2 * SECOND
    )
    assert earliest(INTENT) == NOW - 2 * SECOND


def test_where_jet_s_clock_was_never_heard_ours_may_be_minutes_wrong() -> None:
    unheard = replace(INTENT, jet_time=None)

    assert earliest(unheard) == NOW - 10 * MINUTE - 2 * SECOND
    assert open_intent(DELIVERY, unheard, MINUTE).until == NOW + 11 * MINUTE + (
        2 * SECOND
    )


def test_contents_are_compared_without_regard_to_whose_they_are() -> None:
    found = open_intent(DELIVERY, INTENT, MINUTE)

    assert found.contents == (("/a.mov", 100, False),)
