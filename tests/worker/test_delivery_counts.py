"""What is open counts from intent to terminal, and a step is counted when it is durable."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from jetworker.core.command import RouteName
from jetworker.core.delivery import (
    Delivery,
    Event,
    EventType,
    Reason,
    ReasonCode,
    State,
)
from jetworker.core.transitions import Transition
from jetworker.runtime.metrics import Metrics
from jetworker.worker.delivery_counts import DeliveryCounts
from tests.support.builders import NOW, SECOND, a_delivery, a_progress

ROUTE = RouteName("archive")


class Counted:
    """The counts, and the metrics that they move."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.counts = DeliveryCounts(Metrics(self.registry))

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"jetworker_{name}", labels)


@pytest.fixture
def counted() -> Counted:
    return Counted()


def step(kind: EventType, after: Delivery, **changes: Any) -> Transition:
    return Transition(after, (replace(Event(kind, after), **changes),))


@pytest.mark.parametrize("state", [s for s in State if not s.is_final])
def test_a_place_is_taken_from_the_intent_on_whatever_comes_of_it(
    counted: Counted, state: State
) -> None:
    counts, takes_none = counted.counts, {State.ACCEPTED, State.WAITING}

    counts.enter(a_delivery(state))

    expected = 0 if state in takes_none else 1
    assert (counts.open_on(ROUTE), counts.total) == (expected, expected)
    assert counted.value("deliveries_active", route="archive", state=state) == 1


def test_a_delivery_moves_from_state_to_state_and_leaves_in_the_end(
    counted: Counted,
) -> None:
    counts, seen = counted.counts, []
    way = [State.ACCEPTED, State.STARTING, State.STARTED, State.COMPLETED]
    lives = [a_delivery(state) for state in way]

    counts.enter(lives[0])
    for before, after in pairwise(lives):
        counts.move(before, after)
        counts.move(after, after)  # news without a step
        seen.append(counts.open_on(ROUTE))

    assert seen == [1, 1, 0]
    for state in way:
        active = counted.value("deliveries_active", route="archive", state=state)
        assert not active, state


def test_the_places_of_one_route_are_not_anothers(counted: Counted) -> None:
    counts = counted.counts
    counts.enter(a_delivery(State.STARTED))
    counts.enter(a_delivery(State.STARTED, route=RouteName("other")))

    assert (counts.open_on(ROUTE), counts.total) == (1, 2)


def test_a_start_counts_by_how_it_became_known(counted: Counted) -> None:
    before = a_delivery(State.STARTING)
    posted = a_delivery(State.STARTED, started_at=NOW + 3 * SECOND)
    adopted = replace(posted, adopted=True)

    for after in (posted, adopted):
        counted.counts.count(before, step(EventType.STARTED, after))

    started = "deliveries_started_total"
    assert counted.value(started, route="archive", how="posted") == 1
    assert counted.value(started, route="archive", how="adopted") == 1
    unknown = "uncertain_starts_total"
    assert counted.value(unknown, route="archive", resolution="adopted") == 1
    assert counted.value("start_latency_seconds_sum", route="archive") == 6


def test_only_growth_counts_as_transferred_and_nothing_twice(counted: Counted) -> None:
    looks = [
        a_delivery(State.IN_PROGRESS, progress=progress)
        for progress in (
            None,
            a_progress(1, 100),
            a_progress(1, 40),
            a_progress(3, 250),
        )
    ]

    for before, after in pairwise(looks):
        counted.counts.count(before, step(EventType.PROGRESSED, after))

    assert counted.value("transferred_bytes_total", route="archive") == 310
    assert counted.value("transferred_objects_total", route="archive") == 3


def test_an_end_counts_once_with_what_it_took(counted: Counted) -> None:
    after = a_delivery(State.COMPLETED, finished_at=NOW + 90 * SECOND)

    counted.counts.count(
        a_delivery(State.IN_PROGRESS), step(EventType.COMPLETED, after)
    )

    labels = {"route": "archive", "outcome": "completed"}
    assert counted.value("deliveries_finished_total", **labels) == 1
    assert counted.value("delivery_duration_seconds_sum", **labels) == 90


@pytest.mark.parametrize(
    ("kind", "state", "code", "resolution"),
    [
        (EventType.UNCERTAIN, State.HELD, ReasonCode.HELD, "held"),
        (EventType.FAILED, State.FAILED, ReasonCode.ABANDONED, "abandoned"),
    ],
)
def test_what_becomes_of_an_unknown_start_counts(
    counted: Counted, kind: EventType, state: State, code: ReasonCode, resolution: str
) -> None:
    after = a_delivery(state, reason=Reason(code, "why"))

    counted.counts.count(a_delivery(State.UNCERTAIN), step(kind, after))

    labels = {"route": "archive", "resolution": resolution}
    assert counted.value("uncertain_starts_total", **labels) == 1
