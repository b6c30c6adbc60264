"""
The line to Jet is slow in some runs: a start that was given up is still on its way.

Of some starts all has left by then, and arrives later. The doubt may be as old as the
start, since a worker may end its life while it waits: what is late at most, and what is
listed late at most, are together less than the settle time (A1). Of the others the last
bytes leave late: whoever gives up throws away what has not left, as the kernel does for
who is killed, and Jet does not wait for the rest from one that stands still.

Only the seeds of some residues have it, and what is drawn for it comes from a luck of its
own: the runs of all other seeds stay what they are.
"""

from dataclasses import dataclass, field
from random import Random

from tests.simulation.node import Node

_OF, _WHICH = 31, (4, 21)  # no planted bug but its own begins there, nor is one kept
_LEFT_FOR = (0.9, 2.2)  # seconds; a request is given up after one
_CREEPS_FOR = (0.5, 60.0)


@dataclass
class Line:
    """What is drawn for it; *late* came when they were given up, *cut* never came."""

    luck: Random
    late: int = 0
    cut: int = 0

    @classmethod
    def of(cls, seed: int) -> "Line | None":
        """Return it for a seed in which the line is slow."""
        return cls(Random(f"line {seed}")) if seed % _OF in _WHICH else None

    def draw(self, chance: float) -> "Way | None":
        """Return the way of a start that is slow."""
        if self.luck.random() >= chance:
            return None
        has_left = self.luck.random() < 0.5
        return Way(
            self, self.luck.uniform(*(_LEFT_FOR if has_left else _CREEPS_FOR)), has_left
        )


@dataclass
class Way:
    """The connection of one start, and the *seconds* until all of it has arrived."""

    line: Line
    seconds: float
    has_left: bool
    is_given_up: bool = field(default=False, init=False)

    def abort(self) -> None:
        """Throw away what has not left; asyncio's transports are told so."""
        self.is_given_up = True

    def arrives(self, node: Node) -> bool:
        """Whether all of it has arrived, now that its seconds are over."""
        if self.has_left:
            self.line.late += self.is_given_up
            return True
        self.line.cut += self.is_given_up
        return node.is_responsive and not self.is_given_up
