"""What waits to be started on a route, while partitions come, go and come back."""

from jetworker.core.delivery import State
from jetworker.worker.handle import DeliveryHandle
from jetworker.worker.starts.queue import StartQueue
from tests.support.builders import a_delivery
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
