"""
What 700,000 remembered commands take in memory, all of them not at home after a growth.

`python -m tests.benchmark.memory` measures the two that a worker keeps of them: what is
remembered of each (`core/finished`), and the index of those that are answered elsewhere
(`kafka/growth`). It ends with 1 where one of them takes more than 150 MB. Ids are UUIDs,
of commands and of deliveries.
"""

import sys
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

from jetworker.core.command import CommandId, DeliveryId, RouteName
from jetworker.core.delivery import State
from jetworker.core.finished import DedupeIndex, Finished
from jetworker.kafka import growth

NUMBER = 700_000
MOST = 150_000_000  # bytes
_AT = datetime(2026, 11, 29, tzinfo=UTC)
_PARTITIONS = 12


def remembered() -> object:
    """Remember each as a partition does when it has ended."""
    found = DedupeIndex()
    for number in range(NUMBER):
        found.add(
            Finished(
                CommandId(str(UUID(int=number))),
                number.to_bytes(32, "big"),
                State.COMPLETED,
                _AT,
                RouteName("archive"),
                sequence=4,
                delivery_id=DeliveryId(str(UUID(int=number << 64))),
            )
        )
    return found


def elsewhere() -> object:
    """Index each as a worker does that gathers after a growth."""
    return growth.Homes(
        _PARTITIONS,
        {
            growth._hash(str(UUID(int=number)).encode()): number % _PARTITIONS  # noqa: SLF001 -- its own
            for number in range(NUMBER)
        },
    )


def measured(make: Callable[[], object]) -> int:
    """Return how many bytes are held by what is made."""
    tracemalloc.start()
    kept = make()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del kept
    return held


def main() -> int:
    """Measure both and say what each takes."""
    are_small = True
    for name, make in {"remembered": remembered, "elsewhere": elsewhere}.items():
        held = measured(make)
        are_small &= held <= MOST
        each = held / NUMBER
        sys.stdout.write(f"{NUMBER:,} {name}: {held / 1e6:.0f} MB, {each:.0f} B each\n")
    return 0 if are_small else 1


if __name__ == "__main__":
    sys.exit(main())
