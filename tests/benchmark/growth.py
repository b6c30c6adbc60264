"""
How the cost of a delivery grows with those that are open: `docs/growth.csv`.

`python -m tests.benchmark.growth 100 300 1000 3000 10000` measures one burst of each
size, over twenty jobs, and writes a line for each; the others stay as they are. `make docs`
draws the plot from it.
"""

import asyncio
import csv
import sys
from collections.abc import Sequence

from jetworker.sandbox.kafka.broker import EmbeddedKafka
from tests.benchmark import burst
from tests.docs.pages import DOCS

FILE = DOCS / "growth.csv"
FIELDS = ("open", "cpu_ms", "calls", "start_p99_s", "end_seen_p99_s")
_JOBS = 20
_POLL = 5.0  # seconds
_LONG = 30.0  # seconds of a delivery, and more where starting all of them takes longer


async def main(numbers: Sequence[int]) -> None:
    """Measure each and write the file anew after it."""
    with EmbeddedKafka() as kafka:
        for number in numbers:
            seconds = max(_LONG, number / 50)
            load = burst.Load(number, _JOBS, seconds, _POLL)
            cost = await burst.measured(kafka.bootstrap_servers, load)
            _write(number, cost)


def _write(number: int, cost: burst.Cost) -> None:
    rows = {}
    if FILE.exists():
        with FILE.open(newline="") as file:
            rows = {int(row["open"]): row for row in csv.DictReader(file)}
    figures = (
        cost.cpu,
        cost.calls,
        burst.tail(cost.starts)[1],
        burst.tail(cost.ends)[1],
    )
    found = (str(number), *(f"{figure:.2f}" for figure in figures))
    rows[number] = dict(zip(FIELDS, found, strict=True))
    with FILE.open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows[each] for each in sorted(rows))


if __name__ == "__main__":
    asyncio.run(main([int(each) for each in sys.argv[1:]]))
