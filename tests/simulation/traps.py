"""
Worlds in which one row of R2 alone keeps a lost start from being made again.

The rows hold each other up, and chance hardly ever makes a world that only one of them
sees through. So a few seeds are traps: Jet's list is wrong in the one way that the row
is there for, the start that is lost is always applied, and nothing else goes wrong.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from random import Random

from typing_extensions import override

from tests.simulation.documents import Delivery
from tests.simulation.past import EXCLUSIVE, Past

_OF, _WHICH = 64, 10
_FOR_EVER = 10_000.0
_NOBODY = frozenset[int]()


@dataclass(frozen=True)
class Trap(Past):
    """
    A past that is one row's trap.

    Of what is known, *failing* ended badly, *running* are at work for ever and *waiting*
    have not begun, whatever became of their commands. In the run every delivery takes
    *takes* seconds, the lost one *lost_waits* to begin and no time then, and it is one
    that ends badly if *is_bad*; those made after the number *good* end badly, too.
    """

    failing: frozenset[int] = _NOBODY
    running: frozenset[int] = _NOBODY
    waiting: frozenset[int] = _NOBODY
    takes: float = 1.0
    lost_waits: float = 0.05
    is_bad: bool = False
    good: int = 100
    is_trap: bool = field(default=True, init=False)

    @override
    def deliveries(self) -> list[Delivery]:
        return [self._as_it_is(n, each) for n, each in enumerate(super().deliveries())]

    def _as_it_is(self, number: int, made: Delivery) -> Delivery:
        if number in self.running:
            made.seconds = _FOR_EVER
        if number in self.waiting:  # two objects: Jet shows it in a state that waits
            made.objects *= 2
            made.queue(_FOR_EVER)
        made.failed = int(number in self.failing)
        return made

    @override
    def has_ended(self, made: Delivery) -> bool:
        return made.seconds < _FOR_EVER

    @override
    def shape(self, made: Delivery) -> None:
        made.seconds = self.takes
        made.failed = int(int(made.delivery_id[2:]) > self.good)
        super().shape(made)

    @override
    def lose(self, made: Delivery) -> None:
        made.failed = int(self.is_bad)
        made.queued, made.seconds = self.lost_waits, self.lost_waits + 0.1
        made.shown_at = made.created_at + 0.5


def _trap(listing: str, known: int) -> Trap:
    return Trap(EXCLUSIVE, listing, known, 1.0, is_filed=False, lost=0, luck=Random(0))


# Each by its row; the others are fulfilled.
TRAPS: Mapping[str, Callable[[], Trap]] = {
    "2.2": lambda: replace(_trap("sound 100000", 2), is_bad=True, good=7),
    "2.3": lambda: replace(
        _trap("sound 100000", 24), is_bad=True, failing=frozenset(range(1, 24, 4))
    ),
    "2.4": lambda: replace(
        _trap("active", 12), running=frozenset(range(12)), takes=30.0
    ),
    "2.5": lambda: replace(_trap("behind 30, newest 14", 26), waiting=frozenset({25})),
    "2.6": lambda: replace(_trap("begun, newest 14", 26), lost_waits=40.0),
    "2.8": lambda: replace(
        _trap("sound 3010", 14), is_bad=True, failing=frozenset({10})
    ),
}


def draw(seed: int) -> Trap | None:
    """Return the trap of a seed that is one."""
    if seed % _OF != _WHICH:
        return None
    rows = list(TRAPS)
    made = TRAPS[rows[seed // _OF % len(rows)]]()
    return replace(made, luck=Random(f"trap {seed}"))
