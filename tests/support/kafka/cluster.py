"""Three real Kafka brokers, any of which may be killed and come back."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

from jetworker.sandbox.kafka import broker as kafka_port
from jetworker.sandbox.kafka.broker import EmbeddedKafka

_COPIES = {
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "min.insync.replicas": "2",
}


@contextmanager
def three_brokers() -> Iterator[list[EmbeddedKafka]]:
    """Yield the brokers, all of them up; each is a controller too."""
    ports = [kafka_port.free_ports() for _ in range(3)]
    voters = ",".join(f"{n}@127.0.0.1:{ports[n - 1][1]}" for n in (1, 2, 3))
    brokers = [
        EmbeddedKafka(
            settings={
                "node.id": str(n),
                "controller.quorum.voters": voters,
                **_COPIES,
            },
            ports=ports[n - 1],
        )
        for n in (1, 2, 3)
    ]
    with ExitStack() as kept, ThreadPoolExecutor(3) as pool:
        # Together: none answers before two of them have elected a controller.
        for broker in pool.map(lambda each: each.__enter__(), brokers):
            kept.push(broker)
        yield brokers
