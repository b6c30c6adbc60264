"""How often Kafka does not answer one simulated process."""

import asyncio
from dataclasses import dataclass
from random import Random

from aiokafka.errors import KafkaTimeoutError

_CANCELLED_EVERY = 3


@dataclass
class Trouble:
    """
    The chance that a call fails: before it was done, or after.

    Every third failure is none: aiokafka has cancelled a task of its own that it awaits
    itself, and what its caller sees is a cancellation that nobody has asked for.
    """

    luck: Random
    chance: float = 0.0
    failed: int = 0

    def strikes(self) -> bool:
        """Whether the next one fails."""
        return self.chance > 0 and self.luck.random() < self.chance

    def strike(self) -> None:
        """Fail, now and then."""
        if self.strikes():
            self.failed += 1
            if self.failed % _CANCELLED_EVERY == 0:
                raise asyncio.CancelledError
            raise KafkaTimeoutError
