"""
The topics grow in some runs: with a backlog, at any moment, in any order.

Only the seeds of one residue grow, and what is drawn for it comes from a luck of its own:
the runs of all other seeds stay what they are.
"""

import asyncio
from dataclasses import dataclass, field
from random import Random

ONE_IN = 8
_WHICH = 4


@dataclass
class Growth:
    """
    What is drawn for a growth; *by* are the numbers of partitions that publishers know.

    *orders* are where cancels and resolves of known commands were published.
    """

    luck: Random
    by: list[int]
    is_over: bool = False
    orders: set[tuple[int, int]] = field(default_factory=set)
    repeated: int = 0

    @classmethod
    def of(cls, seed: int, partitions: int) -> "Growth | None":
        """Return it for a seed in which the topics grow."""
        if seed % ONE_IN != _WHICH:
            return None
        return cls(Random(f"growth {seed}"), [partitions])

    async def pause(self, most: float) -> None:
        """Let some time pass, or none."""
        await asyncio.sleep(self.luck.choice((0.0, self.luck.uniform(0.0, most))))
