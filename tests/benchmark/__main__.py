"""`python -m tests.benchmark`: ratios, which are judged, and times, which are not."""

import asyncio
import sys
from collections.abc import AsyncIterator

from jetworker.sandbox.kafka.broker import EmbeddedKafka
from tests.benchmark import burst, latency, ratios, restore, takeover, trouble
from tests.benchmark.ratios import Ratio


async def main() -> int:
    """Print every ratio as it is found; 1 if one is beyond its bound."""
    with EmbeddedKafka() as kafka:
        found = []
        async for ratio in _all(kafka.bootstrap_servers):
            sys.stdout.write(f"{ratio}\n")
            found.append(ratio)
        await takeover.tell()
        await latency.tell(kafka.bootstrap_servers)
    return 0 if all(ratio.is_kept for ratio in found) else 1


async def _all(kafka: str) -> AsyncIterator[Ratio]:
    for ratio in ratios.of_pure_parts():
        yield ratio
    for ratio in await burst.beside_the_peer(kafka):
        yield ratio
    yield await trouble.beside(kafka)
    yield await restore.beside_reading(kafka)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
