"""A listing without news: what is skipped for it would have changed nothing."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetworker.core.command import TransferId
from jetworker.core.delivery import Delivery, State, Transfer
from jetworker.core.observation import JetTransfer, Progress, Tally
from jetworker.core.polling import (
    Speed,
    Told,
    as_listed,
    in_order,
    is_growing,
    is_news,
    of_listing,
)
from jetworker.core.progress import observe, would_complete
from jetworker.core.trigger import StatusObserved
from tests.support.builders import DELIVERY, NOW, a_delivery, a_jet_delivery, a_progress

INTERVAL = timedelta(seconds=10)
IDS = [TransferId(f"t-{n}") for n in range(3)]

counts = st.none() | st.builds(
    Progress,
    st.builds(Tally, st.integers(0, 2), st.integers(0, 2)),
    st.just(Tally()),
    st.builds(Tally, st.integers(0, 1)),
)
told_at = st.none() | st.sampled_from([NOW, NOW - INTERVAL])
words = st.sampled_from(["IN_PROGRESS", "SCHEDULED", "COMPLETED", None])
running = st.sampled_from(["IN_PROGRESS"] * 5 + ["SCHEDULED", "COMPLETED"])


def some(of: st.SearchStrategy[TransferId]) -> st.SearchStrategy[list[TransferId]]:
    return st.lists(of, max_size=3, unique=True)


@st.composite
def known(draw: st.DrawFn) -> Delivery:
    """Return a delivery as it may be known of."""
    transfers = tuple(
        Transfer(each, draw(running), progress=draw(counts), counted_at=draw(told_at))
        for each in draw(some(st.sampled_from(IDS)))
    )
    return a_delivery(
        State.IN_PROGRESS,
        jet_state=draw(st.sampled_from(["IN_PROGRESS"] * 5) | words),
        progress=draw(counts),
        counted_at=draw(told_at),
        transfers=transfers,
    )


@st.composite
def listed(draw: st.DrawFn) -> tuple[Delivery, tuple[JetTransfer, ...]]:
    """Return a delivery and what a listing shows of it: mostly what is known, or more."""
    delivery = draw(known())
    shown = [
        JetTransfer(each.transfer_id, each.jet_state or "", DELIVERY, progress=more)
        for each in delivery.transfers
        if (more := draw(st.just(each.progress) | counts)) is each.progress or more
    ]
    other = JetTransfer(draw(st.sampled_from(IDS)), draw(running), DELIVERY)
    return delivery, tuple(shown) if shown else (other,)


@given(listed(), st.sampled_from([False, False, True]))
def test_what_brings_no_news_changes_nothing_if_it_is_told_all_the_same(
    found: tuple[Delivery, tuple[JetTransfer, ...]], has_run_back: bool
) -> None:
    delivery, shown = found
    told = Told(has_run_back=has_run_back)
    if is_news(told, delivery, shown, NOW, INTERVAL):
        return

    after, seen = of_listing(told, delivery, shown)
    observed = observe(delivery, seen, NOW, INTERVAL)

    assert observed.delivery is delivery
    assert observed.events == ()
    assert in_order(after, seen, 9.0)[0] == as_listed(told, shown, 9.0)


def in_progress(size: int, told: float = 0.0) -> Delivery:
    """Return one of which *size* bytes were told *told* seconds ago."""
    at = NOW - timedelta(seconds=told)
    progress = a_progress(size=size)
    transfer = Transfer(IDS[0], "IN_PROGRESS", progress=progress, counted_at=at)
    return a_delivery(
        State.IN_PROGRESS,
        jet_state="IN_PROGRESS",
        progress=progress,
        counted_at=at,
        transfers=(transfer,),
    )


def one(size: int) -> tuple[JetTransfer, ...]:
    return (
        JetTransfer(IDS[0], "IN_PROGRESS", DELIVERY, progress=a_progress(size=size)),
    )


def test_the_same_again_and_counts_that_are_not_due_are_no_news() -> None:
    def is_told(delivery: Delivery, size: int) -> bool:
        return is_news(Told(), delivery, one(size), NOW, INTERVAL)

    assert not is_told(in_progress(5), 5)
    assert not is_told(in_progress(5, told=3600), 5)
    assert not is_told(in_progress(5, told=9), 6)
    assert is_told(in_progress(5, told=10), 6)
    assert is_told(in_progress(5), 4)  # it runs backwards
    assert not is_told(replace(in_progress(5, 3600), progress=a_progress(size=9)), 5)
    assert is_told(replace(in_progress(5, 3600), progress=None), 5)
    assert is_told(replace(in_progress(5), transfers=()), 5)
    assert is_told(replace(in_progress(5), jet_state="QUEUED"), 5)


def test_a_listing_without_news_is_an_answer_all_the_same() -> None:
    """What was asked before it came is not told any more."""
    told = as_listed(Told(), one(5), 9.0)
    late = StatusObserved(replace(a_jet_delivery(), asked_at=8.0), one(5))

    assert in_order(told, late, 10.0) == (told, None)


@pytest.mark.parametrize(
    ("state", "failed", "transfer", "completes"),
    [
        ("COMPLETED", 0, "COMPLETED", True),
        ("COMPLETED", 0, "IN_PROGRESS", False),
        ("COMPLETED", 0, "FAILED", False),
        ("COMPLETED", 1, "COMPLETED", False),
        ("FAILED", 0, "COMPLETED", False),
        ("IN_PROGRESS", 0, "COMPLETED", False),
    ],
)
def test_only_an_end_of_everything_without_a_failure_completes(
    state: str, failed: int, transfer: str, *, completes: bool
) -> None:
    shown = a_jet_delivery(state, progress=a_progress(failed=failed))
    last = (JetTransfer(IDS[0], transfer, DELIVERY),)

    assert would_complete(in_progress(5), shown, last) is completes


@pytest.mark.parametrize(
    ("word", "created_on", "moved", "grows"),
    [
        ("IN_PROGRESS", NOW, 2, True),
        ("IN_PROGRESS", NOW, 1, False),
        ("IN_PROGRESS", None, 2, False),
        ("COMPLETED", NOW, 2, False),
    ],
    ids=["its counts grow", "it stands still", "no date of Jet's", "another word"],
)
def test_a_listing_speaks_for_jet_only_where_counts_grow_and_jets_date_is_known(
    word: str, created_on: datetime | None, moved: int, *, grows: bool
) -> None:
    delivery = a_delivery(State.IN_PROGRESS, jet_state=word, created_on=created_on)

    told = is_growing(delivery, Speed(moved=1), Speed(moved=moved))

    assert told is grows
