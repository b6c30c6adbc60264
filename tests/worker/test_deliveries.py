"""A partition's life that is over changes nothing, and says so."""

from typing import cast

import pytest

from jetworker.core.command import CommandId
from jetworker.core.errors import StoreError
from jetworker.core.trigger import Absent
from jetworker.kafka.state_store import StateStore
from jetworker.worker.deliveries import Deliveries, PartitionOptions, Services

UNUSED = object()


async def test_a_step_after_the_end_is_not_taken_for_durable() -> None:
    """Whoever waits for it would go on as if the state topic had it."""
    life = Deliveries(
        0,
        cast(StateStore, UNUSED),
        cast(PartitionOptions, UNUSED),
        cast(Services, UNUSED),
    )
    life.end()

    with pytest.raises(StoreError):
        await life.apply(CommandId("c-1"), Absent())
