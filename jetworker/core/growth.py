"""
Whether the topics have grown since, and whether every partition has taken note of it.

After a growth, a command that is known on one partition may arrive on any other. From
then on an id has a *home*, which its own bytes name, and only there a new command is
accepted. Who has not taken note yet still accepts whatever arrives.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from jetworker.core.resumption import Kept, Mark, Position


@dataclass(frozen=True, slots=True)
class Layout:
    """How many partitions the commands topic and the state topic have."""

    commands: int
    state: int

    def is_behind(self, other: "Layout") -> bool:
        """Whether any of the two has grown since."""
        return self.commands < other.commands or self.state < other.state


def has_grown(kept: Position, now: Layout) -> bool:
    """Whether the topics were ever smaller than they are *now*, as a partition knows."""
    fewer = 0 < kept.partitions < now.commands or 0 < kept.of < now.state
    return kept.is_grown or fewer


def had_fewer(kept: Mapping[int, Kept], now: Layout) -> bool:
    """
    Whether the topics ever had fewer partitions than *now*, where some state is lost.

    Where all of it is lost nobody can tell, and the answer is yes: else a command that
    comes again on another partition than before would be a new one there.
    """
    left = [each for each in kept.values() if isinstance(each, Position)]
    return not left or any(has_grown(each, now) for each in left)


def not_yet(kept: Mapping[int, Kept], now: Layout) -> list[int]:
    """
    Return the state partitions whose owners may still accept whatever arrives.

    One that is empty is lost, and accepts nothing: those that are new are marked before
    anybody counts them. One that is not shown at all counts as late: whoever was asked
    does not know of it yet.
    """
    missing = set(range(now.state)) - kept.keys()
    late = {number for number, each in kept.items() if _is_late(each, now)}
    return sorted(missing | late)


def _is_late(kept: Kept, now: Layout) -> bool:
    if isinstance(kept, Position):
        known = Layout(kept.partitions, kept.of)
        return known.is_behind(now) or not kept.is_grown
    return kept is not Mark.EMPTY
