"""How often Kafka does not answer one simulated process."""

from dataclasses import dataclass
from random import Random

from aiokafka.errors import KafkaTimeoutError


@dataclass
class Trouble:
    """The chance that a call fails: before it was done, or after."""

    luck: Random
    chance: float = 0.0

    def strikes(self) -> bool:
        """Whether the next one fails."""
        return self.chance > 0 and self.luck.random() < self.chance

    def strike(self) -> None:
        """Fail, now and then."""
        if self.strikes():
            raise KafkaTimeoutError
