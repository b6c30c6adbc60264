"""One real Kafka for all processes of a test session, and its topics."""

import fcntl
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

from pydantic import SecretStr

from jetworker.config.model import Config, JetConfig, KafkaConfig, TopicsConfig
from jetworker.sandbox.kafka.broker import EmbeddedKafka
from tests.support.kafka import archive


def join(folder: Path, kept: ExitStack) -> str:
    """
    Return the address of the broker shared through *folder*; the first one starts it.

    Closing *kept* leaves it. Who started it then waits for all others to leave.
    """
    users = kept.enter_context((folder / "kafka.users").open("a"))
    address = folder / "kafka.address"
    with (folder / "kafka.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Before the look at the address: a starter that leaves holds this exclusively.
        fcntl.flock(users, fcntl.LOCK_SH)
        if not address.exists():
            archive.make()
            broker = kept.enter_context(EmbeddedKafka())
            kept.callback(address.unlink)
            kept.callback(fcntl.flock, users, fcntl.LOCK_EX)
            address.write_text(broker.bootstrap_servers)
        return address.read_text()


def fresh_topics() -> TopicsConfig:
    """Return four names that no other test has."""
    prefix = f"t-{uuid4().hex[:12]}"
    return TopicsConfig(
        commands=f"{prefix}.commands",
        events=f"{prefix}.events",
        state=f"{prefix}.state",
        dead_letters=f"{prefix}.dead-letters",
    )


def settings(servers: str, topics: TopicsConfig) -> Config:
    """Return settings that name this broker and these topics."""
    return Config(
        routes_file=Path("routes.yaml"),
        kafka=KafkaConfig(bootstrap_servers=servers),
        topics=topics,
        jet=JetConfig(client_id="test", client_secret=SecretStr("test")),
    )
