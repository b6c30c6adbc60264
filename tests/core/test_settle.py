"""An unknown start: adopted only when it can be no other's, repeated only by proof."""

import time
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from jetworker.core.command import CommandId, DeliveryId, ObjectSpec
from jetworker.core.evidence import (
    Evidence,
    is_proven,
    shows_other_files,
)
from jetworker.core.open_intent import OpenIntent
from jetworker.core.settle import (
    Adopt,
    Candidate,
    LookAgain,
    Sight,
    StartAgain,
    decide,
    is_since,
)
from tests.support.builders import NOW, SECOND

OLD, NEW = DeliveryId("old"), DeliveryId("new")


def intent(
    name: str = "ours", path: str = "/a", at: datetime = NOW, size: int | None = 5
) -> OpenIntent:
    return OpenIntent(CommandId(name), at, at, (ObjectSpec(path, size),))


def candidate(name: str = "x", after: timedelta = SECOND, **shown: Any) -> Candidate:
    return Candidate(DeliveryId(name), NOW + after, Evidence(**shown))


def whole(**shown: Any) -> Evidence:
    return Evidence(is_whole=True, **shown)


def seen(*candidates: Candidate, is_witnessed: bool = False) -> Sight:
    return Sight(candidates, is_witnessed)


def test_the_only_delivery_of_nobody_is_adopted() -> None:
    only = candidate()

    assert decide(intent(), (), seen(only)) == Adopt(only)


def test_a_delivery_that_shows_other_files_is_never_adopted_nor_absence_believed() -> (
    None
):
    foreign = candidate(paths=frozenset({"/storage/b"}))
    witnessed = seen(foreign, is_witnessed=True)

    assert isinstance(decide(intent(), (), witnessed), LookAgain)


def test_a_delivery_that_jet_lists_but_does_not_show_is_never_adopted() -> None:
    listed = replace(candidate(), created_on=None, is_shown=False)

    assert isinstance(decide(intent(), (), seen(listed)), LookAgain)


def test_a_delivery_older_than_the_intent_is_never_adopted() -> None:
    assert isinstance(decide(intent(), (), seen(candidate(after=-SECOND))), LookAgain)


def test_of_several_the_one_with_our_files_is_adopted_and_the_rest_reported() -> None:
    ours = candidate("x", paths=frozenset({"/root/a"}))
    foreign = candidate("y", paths=frozenset({"/root/b"}))

    assert decide(intent(), (), seen(ours, foreign)) == Adopt(ours, (DeliveryId("y"),))


def test_of_several_that_look_alike_none_is_adopted() -> None:
    assert isinstance(
        decide(intent(), (), seen(candidate("x"), candidate("y"))), LookAgain
    )


def test_with_a_rival_that_could_be_meant_too_nothing_is_adopted() -> None:
    rival = intent("rival", "/b")

    assert isinstance(decide(intent(), (rival,), seen(candidate())), LookAgain)


def test_rivals_are_told_apart_by_files_counts_and_age() -> None:
    files = candidate(paths=frozenset({"/root/a"}))
    rival = intent("rival", "/b")
    small = intent("rival", "/b", size=4)
    late = intent("rival", "/b", at=NOW + 2 * SECOND)
    mine = candidate(count=1, bytes=5, is_whole=True)

    assert decide(intent(), (rival,), seen(files)) == Adopt(files)
    assert decide(intent(), (small,), seen(mine)) == Adopt(mine)
    assert decide(intent(), (late,), seen(candidate())) == Adopt(candidate())
    assert isinstance(decide(small, (intent(),), seen(mine)), LookAgain)
    both = seen(mine)
    assert isinstance(decide(intent(), (rival,), both), LookAgain)
    many = candidate(count=2)
    assert isinstance(decide(intent(), (rival,), seen(many)), LookAgain)


def test_all_our_files_prove_a_delivery_that_grew_beyond_the_size_we_were_told() -> (
    None
):
    rival = intent("rival", "/b")
    grown = candidate(paths=frozenset({"/storage/a"}), count=1, bytes=1000)

    assert decide(intent(size=5), [rival], seen(grown)) == Adopt(grown)


def test_a_rival_is_not_ruled_out_by_bytes_since_its_files_may_have_grown() -> None:
    ours, rival = intent(size=800), intent("rival", "/b", size=200)
    moving = candidate(count=0, bytes=780)

    assert isinstance(decide(ours, (rival,), seen(moving)), LookAgain)


def test_a_delivery_that_is_a_rival_s_does_not_stand_in_the_way_of_absence() -> None:
    theirs = candidate(paths=frozenset({"/root/b"}))
    witnessed = seen(theirs, is_witnessed=True)

    assert decide(intent(), (intent("rival", "/b"),), witnessed) == StartAgain()


def test_equal_contents_are_paired_in_the_order_of_writing() -> None:
    first, second = intent("a"), intent("b", at=NOW + SECOND)
    early, late = candidate("x"), candidate("y", 2 * SECOND)

    assert decide(first, (second,), seen(early, late)) == Adopt(early)
    assert decide(second, (first,), seen(early, late)) == Adopt(late)
    assert decide(first, (second,), seen(early)) == Adopt(early)
    assert isinstance(decide(second, (first,), seen(early)), LookAgain)
    unknown = replace(late, created_on=None)
    assert isinstance(decide(first, (second,), seen(early, unknown)), LookAgain)


def test_absence_needs_a_witness() -> None:
    assert decide(intent(), (), Sight((), is_witnessed=True)) == StartAgain()
    assert isinstance(decide(intent(), (), Sight(())), LookAgain)


def test_contents_are_proven_by_all_files_or_by_exact_counts() -> None:
    folder = OpenIntent(
        CommandId("f"), NOW, NOW, (ObjectSpec("/a", None, is_directory=True),)
    )
    unsized = intent(size=None)

    assert is_proven(whole(paths=frozenset({"/root/a"})), intent())
    assert not is_proven(whole(paths=frozenset({"/root/a", "/root/b"})), intent())
    assert is_proven(whole(count=1, bytes=5), intent())
    assert not is_proven(whole(count=1), intent())
    assert not is_proven(whole(count=1, bytes=5), unsized)
    assert not is_proven(whole(paths=frozenset({"/root/a/x"})), folder)


def test_nothing_is_proven_while_more_may_come() -> None:
    """Half of a larger delivery looks like all of a smaller one."""
    files = frozenset({"/root/a"})
    two = (ObjectSpec("/a", 5), ObjectSpec("/b", 5))
    larger = replace(intent("rival"), objects=two)

    assert not is_proven(Evidence(files, 1, 5), intent())
    assert not is_proven(whole(paths=files, count=2), intent())
    half = candidate(paths=files, count=1, bytes=5)
    assert isinstance(decide(intent(), (larger,), seen(half)), LookAgain)
    assert isinstance(
        decide(
            intent(),
            (larger,),
            seen(replace(half, evidence=Evidence(count=1, bytes=5))),
        ),
        LookAgain,
    )


def test_a_delivery_of_a_later_time_is_not_ours_unless_its_files_say_so() -> None:
    """A held start is looked at for days: a person starts others on the job meanwhile."""
    ours = replace(intent(), until=NOW + 10 * SECOND)
    later = candidate(after=11 * SECOND)
    proven = replace(later, evidence=whole(paths=frozenset({"/root/a"}), count=1))
    moving = replace(later, evidence=Evidence(paths=frozenset({"/root/a"})))

    in_time = candidate(after=9 * SECOND)
    assert decide(ours, (), seen(in_time)) == Adopt(in_time)
    assert isinstance(decide(ours, (), seen(later)), LookAgain)
    assert isinstance(decide(ours, (), seen(moving)), LookAgain)
    assert decide(ours, (), seen(proven)) == Adopt(proven)


def test_a_delivery_without_a_date_may_be_of_any_time() -> None:
    dated, undated = candidate(), replace(candidate(), created_on=None)

    assert is_since(undated, NOW)
    assert is_since(dated, NOW + SECOND)
    assert not is_since(dated, NOW + 2 * SECOND)


def test_a_start_of_long_ago_casts_no_doubt_on_what_is_started_now() -> None:
    held = replace(intent("held", "/b"), until=NOW - SECOND)
    alike = replace(intent("alike", at=NOW - 9 * SECOND), until=NOW - SECOND)
    now = candidate(count=1, bytes=5, is_whole=True)

    assert decide(intent(), (held,), seen(now)) == Adopt(now)
    assert decide(intent(), (alike,), seen(now)) == Adopt(now)
    assert isinstance(decide(alike, (intent(),), seen(now)), LookAgain)


def test_two_alike_whose_writers_clocks_disagree_never_take_the_same() -> None:
    """By our clocks the second was written first; Jet's is the same for both."""
    first = replace(intent("first"), written_at=NOW + 60 * SECOND)
    second = replace(intent("second"), jet_time=NOW + 2 * SECOND)
    early, late = candidate("x", SECOND), candidate("y", 3 * SECOND)

    assert decide(first, (second,), seen(early, late)) == Adopt(early)
    assert isinstance(decide(second, (first,), seen(early, late)), LookAgain)
    assert decide(second, (), seen(late)) == Adopt(late)
    assert decide(first, (second,), seen(late)) == Adopt(late)


def test_a_later_delivery_is_not_taken_while_an_earlier_one_may_be_ours() -> None:
    """Two asked for the same: the earlier one's would be left, and fit a rival only."""
    ours = replace(intent("ours"), until=NOW + 20 * SECOND)
    alike = replace(intent("alike", at=NOW + 10 * SECOND), until=NOW + 30 * SECOND)
    rival = replace(intent("rival", "/b"), until=NOW + 5 * SECOND)
    early, late = candidate("x", 2 * SECOND), candidate("y", 12 * SECOND)

    assert isinstance(decide(ours, (alike, rival), seen(early, late)), LookAgain)
    assert isinstance(decide(rival, (ours, alike), seen(early, late)), LookAgain)


def test_one_that_is_listed_and_not_shown_hinders_only_who_asked_for_the_same() -> None:
    """Jet may list for ever what it shows no more; or it may not show it yet."""
    hidden = replace(candidate("y"), created_on=None, is_shown=False)
    ours, alike = intent(), intent("alike", at=NOW + SECOND)

    assert decide(ours, (), seen(candidate(), hidden)) == Adopt(
        candidate(), (DeliveryId("y"),)
    )
    assert isinstance(decide(ours, (alike,), seen(candidate(), hidden)), LookAgain)


def test_a_later_delivery_may_be_somebody_else_s_while_an_earlier_one_may_be_ours() -> (
    None
):
    ours = replace(intent("ours"), until=NOW + 20 * SECOND)
    rival = replace(intent("rival", "/b"), until=NOW + 5 * SECOND)
    early, late = candidate("x", 2 * SECOND), candidate("y", 12 * SECOND)
    shown = replace(late, evidence=Evidence(paths=frozenset({"/root/a"})))

    assert isinstance(decide(ours, (rival,), seen(early, late)), LookAgain)
    assert decide(ours, (rival,), seen(early, shown)) == Adopt(shown)


def seconds_to_compare(number: int) -> float:
    """Compare so many files and folders with as many that are shown, all alike."""
    files = [f"/in/{n}.mov" for n in range(number)]
    folders = [f"/tree/{n}" for n in range(number)]
    objects = (
        *(ObjectSpec(path) for path in files),
        *(ObjectSpec(path, is_directory=True) for path in folders),
    )
    many = replace(intent(), objects=objects)
    shown = {f"/root{path}" for path in files} | {f"/root{f}/x.mxf" for f in folders}

    began = time.process_time()
    assert not shows_other_files(Evidence(frozenset(shown)), many)
    took = time.process_time() - began

    assert shows_other_files(Evidence(frozenset({*shown, "/root/other"})), many)
    return took


def test_ten_thousand_files_are_compared_without_comparing_each_with_each() -> None:
    """The event loop stands still meanwhile: a lease is not to be lost by it."""
    few = min(seconds_to_compare(1_000) for _ in range(3))
    many = min(seconds_to_compare(10_000) for _ in range(3))

    assert many / few < 40  # each with each: 100


def test_a_path_that_storage_shows_without_a_root_is_the_one_asked_for() -> None:
    assert is_proven(whole(paths=frozenset({"a"})), intent())
    assert not is_proven(whole(paths=frozenset({"ba"})), intent())


def test_a_folder_covers_what_is_below_it() -> None:
    folder = OpenIntent(
        CommandId("f"), NOW, NOW, (ObjectSpec("/in", None, is_directory=True),)
    )
    everything = replace(folder, objects=(ObjectSpec("/", None, is_directory=True),))
    inside = candidate(paths=frozenset({"/root/in/x"}), count=9)
    rival = intent("rival", "/b", at=NOW + 2 * SECOND)

    assert decide(folder, (), seen(inside)) == Adopt(inside)
    assert decide(everything, (rival,), seen(inside)) == Adopt(inside)


def test_without_jet_s_clock_age_says_nothing() -> None:
    unheard = replace(intent(), jet_time=None)
    early = candidate(after=-SECOND)

    assert decide(unheard, (), seen(early)) == Adopt(early)
