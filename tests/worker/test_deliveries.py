"""A partition's life that is over changes nothing, and says so."""

from typing import cast

import pytest

from jetworker.core.command import CommandId
from jetworker.core.errors import StoreError
from jetworker.core.trigger import Absent
from jetworker.kafka.state_store import Store
from jetworker.worker.crew import LifeTerms, Services
from jetworker.worker.deliveries import Life

UNUSED = object()


async def test_a_step_after_the_end_is_not_taken_for_durable() -> None:
    """Whoever waits for it would go on as if the state topic had it."""
    life = Life(0, cast(Store, UNUSED), cast(LifeTerms, UNUSED), cast(Services, UNUSED))
    life.end()

    with pytest.raises(StoreError):
        await life.apply(CommandId("c-1"), Absent())
