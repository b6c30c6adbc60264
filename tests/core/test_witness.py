"""Absence is believed when the list is proven to show what it would have to show (R2)."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from typing_extensions import override

from jetworker.core.command import DeliveryId
from jetworker.core.evidence import LEARNED_FROM, Asked, Shown
from jetworker.core.post import Window
from jetworker.core.witness import (
    KnownDelivery,
    Look,
    Proof,
    Row,
    Survey,
    extended,
    last_ended,
    survey,
)
from tests.support.builders import NOW, SECOND

SETTLE = 20 * SECOND
WINDOW = Window(NOW, NOW + 30 * SECOND)
ASKED = Asked(1, 100, None, b"")
FOLDERS = replace(ASKED, folders=True)


def known(name: str, at: float, ended: float | None = None) -> KnownDelivery:
    made = NOW + at * SECOND
    ended_on = None if ended is None else NOW + ended * SECOND
    return KnownDelivery(DeliveryId(name), Window(made, made), ASKED, ended_on)


# Ten of an hour before, a minute apart, each ended within a second; and one after.
OLD = [known(f"o{n}", -3600 + 60 * n, -3599 + 60 * n) for n in range(10)]
LATER = known("later", 40)
ALL = [*OLD, LATER]


def ids(some: Iterable[KnownDelivery]) -> frozenset[DeliveryId]:
    return frozenset(each.delivery_id for each in some)


def look(listed: Iterable[KnownDelivery], at: float = 60.0, *shown: Shown) -> Look:
    began = NOW + at * SECOND
    of = {each.delivery_id: each for each in shown}
    return Look(began, began + SECOND, ids(listed), of)


def surveyed(
    listed: Iterable[KnownDelivery],
    known_ones: Iterable[KnownDelivery] = ALL,
    at: float = 60.0,
    *shown: Shown,
) -> Survey:
    of = {each.delivery_id: each for each in known_ones}
    return survey(look(listed, at, *shown), of, SETTLE)


def queued(of: KnownDelivery) -> Shown:
    return Shown(of.delivery_id, "QUEUED")


def row(*looks: Survey, gap: DeliveryId | None = None, is_settled: bool = True) -> Row:
    made = Row()
    for each in looks:
        made = extended(made, each, WINDOW, is_settled=is_settled, gap=gap or each.gap)
    return made


GOOD = surveyed(ALL, ALL, 60.0, queued(LATER))
GROWN_BY = known("newer", 70)
GROWN = surveyed([*ALL, GROWN_BY], [*ALL, GROWN_BY], 80.0)


def proof(made: Row) -> Proof | None:
    return made.missing.proof if made.missing is not None else None


def test_three_looks_that_show_everything_and_grow_prove_it() -> None:
    made = row(GOOD, GOOD, GROWN)

    assert made.is_proven
    assert made.missing is None


def test_two_looks_are_too_few() -> None:
    made = row(GOOD, GROWN)

    assert not made.is_proven
    assert proof(made) is Proof.NOT_LOOKED_UP


def test_2_1_a_look_before_settle_is_over_counts_for_nothing() -> None:
    made = row(GOOD, GOOD, GROWN, is_settled=False)

    assert (made.looks, made.stated) == (0, 0)
    assert proof(made) is Proof.NOT_LOOKED_UP


def test_2_2_ten_known_ones_must_be_listed() -> None:
    few = surveyed([*OLD[2:], LATER], [*OLD[2:], LATER])

    assert proof(row(few)) is Proof.FEW_KNOWN
    assert row(few).missing is not None
    assert "only 9 of this job's known deliveries are listed, 10 are needed" in str(
        row(few).missing
    )
    assert proof(row(surveyed([]))) is Proof.NOTHING_LISTED
    stranger = replace(look([]), listed=frozenset({DeliveryId("stranger")}))
    assert proof(row(survey(stranger, {}, SETTLE))) is Proof.FEW_KNOWN


def test_2_3_a_known_one_that_is_hidden_among_others_is_a_gap() -> None:
    hidden = surveyed([*OLD[:4], *OLD[5:], LATER])

    assert hidden.gap == "o4"
    assert proof(row(hidden)) is Proof.GAP


def test_2_3_what_was_just_started_and_what_is_older_than_the_list_is_no_gap() -> None:
    young = known("young", 45)
    purged = known("purged", -7200, -7199)

    assert surveyed(ALL, [*ALL, young, purged]).gap is None
    assert surveyed(ALL, [*ALL, young], at=80.0).gap == "young"


def test_2_3_one_without_a_date_of_its_own_is_a_gap_when_all_of_its_window_is_due() -> (
    None
):
    window = Window(NOW + 10 * SECOND, NOW + 35 * SECOND)
    undated = replace(known("undated", 0), made_in=window)
    unknown = replace(known("of-0.1.0", 0), made_in=None)

    assert surveyed(ALL, [*ALL, undated, unknown], at=50.0).gap is None
    assert surveyed(ALL, [*ALL, undated, unknown], at=60.0).gap == "undated"


def test_2_3_dates_that_are_cut_to_the_second_make_no_gap_at_the_end_of_a_page() -> (
    None
):
    fell_off = known("fell-off", -3598, -3597)

    assert surveyed(ALL, [fell_off, *ALL]).gap is None


def test_2_4_one_must_be_listed_that_had_ended_before_the_start() -> None:
    running = [replace(each, ended_on=None) for each in OLD]
    just_ended = [replace(each, ended_on=NOW) for each in OLD]
    asked = Shown(OLD[0].delivery_id, "COMPLETED", modified_on=NOW - SECOND)

    assert proof(row(surveyed([*running, LATER], [*running, LATER]))) is Proof.NO_ENDED
    assert (
        proof(row(surveyed([*just_ended, LATER], [*just_ended, LATER])))
        is Proof.NO_ENDED
    )
    assert row(surveyed([*running, LATER], [*running, LATER], 60.0, asked)).looks == 1


def test_2_5_one_must_be_listed_that_was_started_after_it() -> None:
    stale = surveyed(OLD, OLD)
    at_the_end = known("at-the-end", 30)
    not_after = surveyed([*OLD, at_the_end], [*OLD, at_the_end])

    assert proof(row(stale)) is Proof.NOT_FRESH
    assert proof(row(not_after)) is Proof.NOT_FRESH


def test_2_5_a_look_that_lacks_only_that_does_not_break_the_row() -> None:
    stale = surveyed(OLD, OLD)

    assert row(GOOD, stale, GOOD, GROWN).is_proven
    assert row(GOOD, stale, GROWN).looks == 2


def test_any_other_lack_begins_the_row_anew() -> None:
    few = surveyed(OLD[:5], OLD[:5])

    assert row(GOOD, GOOD, few, GROWN).looks == 1


def test_2_5_a_person_s_delivery_testifies_too_where_jet_dates_it() -> None:
    stranger = Shown(DeliveryId("s"), created_on=NOW + 50 * SECOND)
    seen = replace(look(OLD, 60.0, stranger), listed=ids(OLD) | {DeliveryId("s")})

    assert row(survey(seen, {x.delivery_id: x for x in OLD}, SETTLE)).looks == 1


def test_2_6_one_must_be_listed_that_had_not_begun() -> None:
    begun = surveyed(ALL)

    assert proof(row(begun, begun, GROWN)) is Proof.NOT_BEGUN_UNSEEN


def test_2_7_a_list_that_has_not_grown_may_be_full() -> None:
    made = row(GOOD, GOOD, GOOD)

    assert proof(made) is Proof.MAY_BE_CUT
    assert made.missing is not None
    assert made.missing.message.startswith("the document lists 11 deliveries and has")


def test_2_7_it_grows_only_by_one_that_was_started_after_the_earlier_look() -> None:
    late = known("appeared-late", 50)
    by_late = surveyed([*ALL, late], [*ALL, late], 80.0)
    undated = replace(look(ALL, 80.0), listed=ids(ALL) | {DeliveryId("s")})
    of = {each.delivery_id: each for each in ALL}

    assert not row(GOOD, GOOD, by_late).is_uncut
    assert not row(GOOD, GOOD, survey(undated, of, SETTLE)).is_uncut


def test_2_7_one_in_and_one_out_is_a_full_page() -> None:
    turned = [*OLD[1:], LATER, GROWN_BY]

    assert not row(GOOD, surveyed(turned, [*ALL, GROWN_BY], 80.0)).is_uncut


def test_2_7_or_it_is_the_newest_part_of_many() -> None:
    gone = [known(f"g{n}", -9000 + n, -8999 + n) for n in range(10)]

    assert row(surveyed(ALL, [*gone, *ALL])).is_uncut
    assert not row(surveyed(ALL, [*gone[1:], *ALL])).is_uncut
    undated = replace(gone[0], made_in=None)
    assert not row(surveyed(ALL, [undated, *gone[1:], *ALL])).is_uncut
    newer = [known(f"n{n}", 35 + n) for n in range(10)]
    few_before = [*OLD[1:], *newer]
    assert not row(surveyed(few_before, [*gone, *few_before])).is_uncut


def test_2_7_any_part_of_one_burst_is_not_its_newest_part() -> None:
    """A page by id of a first batch, all of it made within two seconds."""
    burst = [known(f"b{n}", -3600 + n / 20, -3590) for n in range(40)]
    page = [*burst[::3], LATER]
    seen = surveyed(page, [*burst, LATER], 60.0, queued(LATER))

    made = row(seen, seen, seen)

    assert not made.is_proven
    assert proof(made) is Proof.MAY_BE_CUT


def test_2_7_what_fell_off_together_with_the_oldest_listed_does_not_hinder() -> None:
    gone = [known(f"g{n}", -9000 + n, -8999 + n) for n in range(10)]
    beside = known("beside", -3599, -3598)

    assert row(surveyed(ALL, [*gone, beside, *ALL])).is_uncut
    assert not row(surveyed(ALL, [*gone[1:], beside, *ALL])).is_uncut


def test_2_8_a_gap_of_any_look_spoils_the_rest() -> None:
    made = row(GOOD, GOOD, GROWN, gap=DeliveryId("b0de"))

    assert not made.is_proven
    assert not made.is_stated
    assert made.missing is not None
    assert made.missing.message == (
        "the job's document hides b0de which we know: it is not believed for 24 h"
    )


def test_r2b_a_list_stated_complete_needs_no_witness_but_three_looks() -> None:
    empty = surveyed([], [])

    assert row(empty, empty, empty).is_stated
    assert not row(empty, empty).is_stated
    assert not row(empty, empty, empty, is_settled=False).is_stated


@pytest.mark.parametrize(
    ("listed", "known_ones", "shown", "refutes"),
    [
        ([], [known("today", -3600)], (), "today"),
        ([], [known("last-week", -7 * 86400)], (), None),
        ([], [known("just-now", 50)], (), None),
        ([known("a", -50)], [known("a", -50), known("b", -60)], (), None),
        ([known("a", -60)], [known("a", -60), known("b", -50)], (), "b"),
    ],
    ids=["empty", "purged", "young", "older than all", "gap"],
)
def test_r2b_is_refuted_by_one_that_should_be_listed(
    listed: list[KnownDelivery],
    known_ones: list[KnownDelivery],
    shown: tuple[Shown, ...],
    refutes: str | None,
) -> None:
    assert surveyed(listed, known_ones, 60.0, *shown).unstated == refutes


def test_r2b_is_refuted_by_a_delivery_that_a_transfer_names() -> None:
    hinted = Shown(DeliveryId("hinted"), created_on=NOW - SECOND)
    young = Shown(DeliveryId("young"), created_on=NOW + 50 * SECOND)
    undated = Shown(DeliveryId("undated"))

    assert surveyed(ALL, ALL, 60.0, undated, young, hinted).unstated == "hinted"
    assert surveyed(ALL, ALL, 60.0, undated, young).unstated is None


class Counted(str):
    """An id that counts how often it is compared or looked up."""

    __slots__ = ()
    touched = 0

    @override
    def __hash__(self) -> int:
        type(self).touched += 1
        return super().__hash__()

    @override
    def __eq__(self, other: object) -> bool:
        type(self).touched += 1
        return super().__eq__(other)


def lookups(number: int) -> int:
    """Survey a job of so many known deliveries; return how often an id was touched."""
    some = [
        replace(
            known("", -9000 + n * 0.01, -8999.0), delivery_id=DeliveryId(Counted(n))
        )
        for n in range(number)
    ]
    of: dict[DeliveryId, Any] = {each.delivery_id: each for each in some}
    seen = look(some)
    Counted.touched = 0
    survey(seen, of, SETTLE)
    return Counted.touched


def test_a_look_at_ten_thousand_known_ones_touches_each_a_few_times() -> None:
    """In sets, in one pass: nothing is compared with everything."""
    few, many = lookups(1_000), lookups(10_000)

    assert few > 0
    assert many <= 11 * few
    assert many < 10 * 10_000


def test_dates_are_what_jet_shows_where_it_shows_them() -> None:
    window = Window(NOW, NOW + 50 * SECOND)
    undated = replace(known("x", 0), made_in=window)
    at: datetime = NOW + 45 * SECOND
    seen = surveyed(
        [*OLD, undated],
        [*OLD, undated],
        60.0,
        Shown(undated.delivery_id, created_on=at),
    )

    assert seen.last_start == at
    assert timedelta() < at - WINDOW.hi


def test_learned_from_is_what_ended_whole_before_and_the_newest_of_it_first() -> None:
    ended = [replace(known(f"o{n}", n, n + 1), is_whole=True) for n in range(50)]
    others = [
        replace(known("in parts", 50, 51), is_whole=False),
        replace(known("of folders", 51, 52), is_whole=True, asked=FOLDERS),
        replace(known("of a time unknown", 52, 53), is_whole=True, made_in=None),
        replace(known("ended too late", 53, 100), is_whole=True),
        replace(known("made too late", 100), is_whole=True),
    ]

    found = last_ended([*ended, *others], NOW + 60 * SECOND)

    assert found == ended[::-1][:LEARNED_FROM]
