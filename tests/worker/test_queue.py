"""What waits to be started on a route, while partitions come, go and come back."""

import gc
import weakref

import pytest
from typing_extensions import override

from jetworker.core.command import CommandId
from jetworker.core.delivery import Delivery, State
from jetworker.worker.handle import DeliveryHandle, DeliveryOwner
from jetworker.worker.starts.queue import StartQueue
from tests.support.builders import NOW, SECOND, a_delivery
from tests.support.fakes import OneDelivery


def test_an_entry_of_an_earlier_life_takes_its_successor_s_place_from_nobody() -> None:
    """Its answer comes late: the partition has been restored meanwhile."""
    delivery = a_delivery(State.ACCEPTED)
    earlier = DeliveryHandle(OneDelivery(delivery, is_over=True), delivery.command_id)
    later = DeliveryHandle(OneDelivery(delivery), delivery.command_id)
    queue = StartQueue()
    queue.put(earlier)
    queue.put(later)

    queue.remove(earlier)
    assert queue.head() == later

    queue.remove(later)
    assert queue.head() is None


def waiting(number: int, counted: list[int] | None = None) -> list[DeliveryHandle]:
    """Deliveries that wait, each of which counts how often it is looked at."""
    handles = []
    for n in range(number):
        delivery = a_delivery(
            State.ACCEPTED, command_id=CommandId(f"c-{n}"), expires_at=NOW + n * SECOND
        )
        owner = Counted(delivery, counted if counted is not None else [])
        handles.append(DeliveryHandle(owner, delivery.command_id))
    return handles


class Counted(OneDelivery):
    def __init__(self, delivery: Delivery, looks: list[int]) -> None:
        super().__init__(delivery)
        self._looks = looks

    @override
    def find(self, command_id: CommandId) -> Delivery | None:
        self._looks.append(1)
        return super().find(command_id)


@pytest.mark.parametrize("number", [10, 10_000])
def test_a_turn_costs_the_same_however_many_wait(number: int) -> None:
    looks: list[int] = []
    queue = StartQueue()
    for handle in waiting(number, looks):
        queue.put(handle)
    looks.clear()

    queue.take_expired(NOW - SECOND)
    head = queue.head()
    assert head is not None
    queue.remove(head)
    queue.soonest_expiry()
    queue.head()

    assert len(looks) < 10


def test_what_expires_is_taken_out_in_its_order_and_nothing_else() -> None:
    queue = StartQueue()
    first, started, third, last = waiting(4)
    for handle in (last, third, started, first):
        queue.put(handle)
    queue.remove(started)

    assert queue.take_expired(NOW + 2 * SECOND) == [first, third]
    assert queue.soonest_expiry() == NOW + 3 * SECOND
    assert [*queue] == [last]


def test_who_is_new_is_said_once_and_not_of_who_has_gone() -> None:
    queue = StartQueue()
    one, two = waiting(2)
    queue.put(one)
    queue.put(two)
    queue.remove(one)

    assert (queue.take_new(), queue.take_new()) == ([two], [])


def test_what_is_started_long_before_it_expires_is_not_kept_until_then() -> None:
    """With it would be its partition's life, for days after that has ended."""
    queue = StartQueue()
    owners = [weakref.ref(_come_and_gone(queue, each)) for each in waiting(1000)]

    gc.collect()

    assert sum(owner() is not None for owner in owners) < 100


def _come_and_gone(queue: StartQueue, handle: DeliveryHandle) -> DeliveryOwner:
    queue.put(handle)
    queue.remove(handle)
    return handle.owner


def test_what_is_queued_again_and_again_is_kept_once_and_expires_once() -> None:
    queue = StartQueue()
    first, other = waiting(2)
    for _ in range(1000):
        queue.remove(first)
        queue.put(DeliveryHandle(first.owner, first.command_id))
    queue.put(other)

    kept = [x for x in gc.get_objects() if isinstance(x, DeliveryHandle)]

    assert sum(each == first for each in kept) < 100
    assert queue.take_expired(NOW + SECOND) == [first, other]
