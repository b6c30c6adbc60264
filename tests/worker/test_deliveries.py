"""A partition's life that is over changes nothing, and says so."""

import pytest

from jetworker.core.command import CommandId
from jetworker.core.errors import StoreError
from jetworker.core.trigger import Absent
from tests.support.life import Life


async def test_a_step_after_the_end_is_not_taken_for_durable() -> None:
    """Whoever waits for it would go on as if the state topic had it."""
    life = Life()
    life.partition.end()

    with pytest.raises(StoreError):
        await life.partition.apply(CommandId("c-1"), Absent())
    assert life.store.writes == []
