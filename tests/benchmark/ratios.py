"""Work on much and on little, measured in one run: its cost for each is about the same."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from jetworker.core.command import CommandId
from jetworker.core.delivery import State
from jetworker.core.finished import DedupeIndex, Finished, finish
from jetworker.wire import commands, snapshots
from tests.support.builders import NOW, a_delivery

_TIMES = 5
_TENFOLD = 10
_WIDE = 3.0  # quadratic work would be at ten


@dataclass(frozen=True)
class Ratio:
    """How much more something costs than something else, and how much it may."""

    what: str
    found: float
    most: float

    @property
    def is_kept(self) -> bool:
        """Whether it is within its bound."""
        return self.found <= self.most

    @override
    def __str__(self) -> str:
        """Return a line for people."""
        verdict = "ok" if self.is_kept else "TOO MUCH"
        return f"{self.found:6.2f} (at most {self.most:g}) {verdict:8} {self.what}"


def of_pure_parts() -> Iterator[Ratio]:
    """Yield what one of ten times as many costs, by what one of few does."""
    yield _each("an object of a command of 10,000", 1000, _command, _read)
    yield _each("a remembered id among 100,000", 10_000, _finished, _remember)


def _each(
    what: str, few: int, make: Callable[[int], Any], work: Callable[[Any], object]
) -> Ratio:
    many = few * _TENFOLD
    given = {number: make(number) for number in (few, many)}
    for value in given.values():
        work(value)  # once for what is done only once
    best = {number: _best(work, value) for number, value in given.items()}
    return Ratio(what, best[many] / many / (best[few] / few), _WIDE)


def _best(work: Callable[[Any], object], given: Any) -> float:
    """Return the shortest of some tries: what else the machine does only adds."""
    found = []
    for _ in range(_TIMES):
        began = time.process_time()
        work(given)
        found.append(time.process_time() - began)
    return min(found)


def _command(number: int) -> bytes:
    objects = [{"relativePath": f"/show/{n:05}.mov"} for n in range(number)]
    return commands.encode({"commandId": "c-1", "route": "r", "objects": objects})


def _read(value: bytes) -> object:
    return commands.decode(value, (), max_objects=10_000)


def _finished(number: int) -> list[bytes]:
    first = CommandId("command-00000000")
    ended = a_delivery(State.COMPLETED, command_id=first, finished_at=NOW)
    pattern = snapshots.encode(finish(ended))
    return [pattern.replace(first.encode(), b"command-%08d" % n) for n in range(number)]


def _remember(values: list[bytes]) -> object:
    index = DedupeIndex()
    for value in values:
        found = snapshots.decode(value)
        assert isinstance(found, Finished)
        index.add(found)
    return index
