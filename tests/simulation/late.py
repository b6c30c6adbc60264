"""
A broker is late to know of a growth in some runs: who happens to ask it is shown less.

Readers of a topic are, and producers and consumers about their topics. How many partitions
there are is asked of all brokers: one that is late makes no difference there.

Only some seeds of those in which the topics grow have one, and what is drawn for it comes
from a luck of its own: the runs of all other seeds stay what they are.
"""

from dataclasses import dataclass, field
from random import Random

_OF, _WHICH = 32, 12  # of those that grow: none of them is kept, nor is one a past's


@dataclass
class LateBroker:
    """
    What is drawn for it: of each topic that has grown the number that it still shows.

    And until when. *shown* are its answers that were wrong.
    """

    luck: Random
    former: dict[str, tuple[int, float]] = field(default_factory=dict)
    shown: int = 0

    @classmethod
    def of(cls, seed: int) -> "LateBroker | None":
        """Return it for a seed that has one."""
        return cls(Random(f"late {seed}")) if seed % _OF == _WHICH else None

    def miss(self, topic: str, partitions: int, now: float) -> None:
        """Know for a while only of so many partitions that a topic had."""
        self.former[topic] = partitions, now + self.luck.uniform(10.0, 40.0)

    def show(self, topic: str, partitions: int, now: float) -> int:
        """Return how many partitions whoever asks is shown, of this broker or another."""
        former, until = self.former.get(topic, (partitions, 0.0))
        if now >= until or self.luck.random() < 0.5:
            return partitions
        self.shown += 1
        return former
