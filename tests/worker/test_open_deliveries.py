"""What a partition holds of its open deliveries, and what is counted of them."""

from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from jetworker.core.command import CommandId, ObjectSpec
from jetworker.core.delivery import Delivery, State
from jetworker.runtime.metrics import Metrics
from jetworker.worker.delivery_counts import DeliveryCounts
from jetworker.worker.open_deliveries import Held, OpenDeliveries
from tests.support.builders import DELIVERY, a_delivery

FRAMES = tuple(ObjectSpec(f"/frame.{n:04d}.dpx", 1000) for n in range(200))
WAITING = a_delivery(State.WAITING, objects=FRAMES, attempt=0, intent=None)
STARTED = a_delivery(State.STARTED, delivery_id=DELIVERY)
NAME = WAITING.command_id


def opened(*deliveries: Delivery) -> tuple[OpenDeliveries, DeliveryCounts]:
    """Hold these."""
    counts = DeliveryCounts(Metrics(CollectorRegistry()))
    held = OpenDeliveries(counts)
    for each in deliveries:
        held.put(Held.of(each))
    return held, counts


def counted(held: OpenDeliveries, counts: DeliveryCounts) -> tuple[int, int, bool]:
    """Return how many are not started and how many are open, and whether bytes wait."""
    return held.unstarted, counts.total, counts.waiting_bytes > 0


def test_one_that_waits_is_held_without_its_objects_and_given_whole() -> None:
    held, counts = opened(WAITING)

    assert held.all == {NAME: replace(WAITING, objects=())}
    assert held.whole(NAME) == WAITING
    assert held.whole(CommandId("another")) is None
    assert counted(held, counts) == (1, 0, True)


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (replace(WAITING, attempt=0), (1, 0, True)),
        (STARTED, (0, 1, False)),
        (a_delivery(State.CANCELLED), (0, 0, False)),
    ],
    ids=["waits", "started", "cancelled"],
)
def test_what_is_counted_is_as_it_is_now(
    after: Delivery, expected: tuple[int, int, bool]
) -> None:
    held, counts = opened(WAITING, replace(after, command_id=NAME))

    assert counted(held, counts) == expected
    assert (NAME in held.all) is not after.state.is_final


@pytest.mark.parametrize("delivery", [WAITING, STARTED], ids=["waits", "started"])
def test_one_that_is_dropped_is_neither_held_nor_counted(delivery: Delivery) -> None:
    held, counts = opened(delivery)

    held.drop(delivery.command_id)

    assert (held.all, counted(held, counts)) == ({}, (0, 0, False))


def test_a_life_that_is_over_counts_and_holds_nothing_any_more() -> None:
    other = replace(STARTED, command_id=CommandId("other"))
    held, counts = opened(WAITING, other)

    held.leave()

    assert held.all == {}
    assert (counts.total, counts.waiting_bytes) == (0, 0)
    assert counts.in_state(State.WAITING) == counts.in_state(State.STARTED) == 0
