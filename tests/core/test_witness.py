"""Absence is believed only where Jet shows a delivery that proves what it would show."""

from datetime import datetime, timedelta

from jetworker.core.command import CommandId, DeliveryId
from jetworker.core.open_intent import OpenIntent
from jetworker.core.witness import Bound, Settling, is_witnessed, worth_asking
from tests.support.builders import NOW, SECOND

HOUR = timedelta(hours=1)


def known(name: str, at: timedelta, jet: timedelta | None = None) -> Bound:
    created_on = None if jet is None else NOW + jet
    return Bound(DeliveryId(name), NOW + at, created_on)


def witnessed(
    listed: str,
    *all_known: Bound,
    jet_time: datetime | None = NOW,
    after: str | None = None,
) -> bool:
    shown = frozenset(map(DeliveryId, listed.split()))
    asked = worth_asking(shown, all_known)
    start = OpenIntent(
        CommandId("c-1"), NOW, jet_time, (), DeliveryId(after) if after else None
    )
    settling = Settling(NOW + 5 * SECOND, NOW + 10 * SECOND)
    return is_witnessed(shown, all_known, asked, start, settling)


def test_an_older_known_delivery_that_is_listed_is_a_witness() -> None:
    older = known("old", -SECOND, -SECOND)

    assert witnessed("old", older)
    assert not witnessed("", older)
    assert not witnessed("somebody-else", older)


def test_a_newer_known_delivery_is_none_since_only_the_latest_may_be_listed() -> None:
    assert not witnessed("new", known("new", SECOND, SECOND))


def test_one_that_is_listed_alone_is_none_while_a_newer_one_is_hidden() -> None:
    older, newer = known("old", -SECOND, -SECOND), known("new", SECOND, SECOND)

    assert not witnessed("old", older, newer)
    assert witnessed("old other", older, newer)


def test_two_known_ones_are_witnesses_if_none_is_hidden() -> None:
    first, second = known("a", SECOND, SECOND), known("b", 2 * SECOND, 2 * SECOND)

    assert witnessed("a b", first, second)
    assert not witnessed("a b", first, second, known("c", SECOND, SECOND))


def test_on_a_busy_job_what_was_started_just_now_need_not_be_shown_yet() -> None:
    shown = known("a", SECOND), known("b", 2 * SECOND)

    assert witnessed("a b", *shown, known("just-now", 6 * SECOND))
    assert not witnessed("a b", *shown, known("long-ago", 5 * SECOND))
    assert not witnessed("a b", *shown, known("a-clock-s-mistake", HOUR))
    assert not witnessed("a", shown[0], known("just-now", 6 * SECOND))


def test_a_listing_of_the_latest_few_is_none_however_fast_they_were_started() -> None:
    burst = [known(f"d{n}", (6 + n) * SECOND) for n in range(4)]

    assert not witnessed("d2 d3", *burst)
    assert witnessed("d0 d2 d3", *burst)


def test_jet_s_clock_decides_when_ours_is_an_hour_wrong() -> None:
    newer = known("new", -HOUR, SECOND)
    older = known("old", HOUR, -SECOND)

    assert not witnessed("new", newer)
    assert witnessed("old", older)


def test_our_clock_decides_where_jet_s_is_not_to_be_had() -> None:
    assert witnessed("old", known("old", -SECOND))
    assert not witnessed("new", known("new", SECOND))
    assert witnessed("old", known("old", -SECOND, SECOND), jet_time=None)


def test_jet_is_asked_for_the_oldest_that_are_listed_and_few_that_are_not() -> None:
    many = [known(f"d{n}", n * SECOND) for n in range(100)]
    listed = frozenset(each.delivery_id for each in many[10:60])

    assert worth_asking(listed, many) == tuple(many[10:30])
    assert worth_asking(frozenset(), many) == tuple(many[-10:])


def test_what_the_worker_started_before_is_older_whatever_the_clocks_say() -> None:
    just_before = known("mine", SECOND, SECOND)

    assert witnessed("mine", just_before, after="mine")
    assert not witnessed("mine", just_before, after="another")
