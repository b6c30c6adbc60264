"""What 0.1.0 left on a real Kafka is gone on with: nothing is lost, started or told twice."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from jetworker.core.delivery import Delivery, Event, EventType, State
from jetworker.wire.events import Envelope
from jetworker.wire.snapshots import BARRIER
from tests.support.jet.documents import Started
from tests.support.operating import audited, publish
from tests.support.stored_state import SNAPSHOTS, records
from tests.support.system import STATED, System
from tests.support.waiting import until

pytestmark = pytest.mark.integration

_VERSION = "0.1.0"
# What was told of each, the first one as its snapshot is not any more.
_TOLD = {
    "accepted": [EventType.ACCEPTED],
    "waiting-limit": [EventType.ACCEPTED, EventType.WAITING],
    "uncertain": [EventType.ACCEPTED, EventType.UNCERTAIN],
    "held": [EventType.ACCEPTED, EventType.UNCERTAIN, EventType.UNCERTAIN],
    "in-progress": [EventType.ACCEPTED, EventType.STARTED, EventType.PROGRESSED],
}
_COMMANDS: list[dict[str, Any]] = [
    {
        "commandId": name,
        "route": "archive",
        "objects": [{"relativePath": "/a.mov", "sizeInBytes": 100}],
    }
    for name in _TOLD
]


def story(name: str) -> Delivery:
    """Return what the stored bytes of a command mean."""
    found = SNAPSHOTS[_VERSION][name]
    assert isinstance(found, Delivery)
    return found


def events(name: str) -> Iterator[Event]:
    """Yield what was told of a command up to its snapshot."""
    last = story(name)
    for number, kind in enumerate(_TOLD[name], 1):
        is_first = kind is EventType.ACCEPTED
        told = replace(last, state=State.ACCEPTED, reason=None) if is_first else last
        yield Event(kind, replace(told, sequence=number))


async def leave(system: System) -> None:
    """Leave the four topics as 0.1.0 did: all commands on partition 0, taken."""
    topics = system.config.topics
    await publish(system, _COMMANDS, lambda _: 0)
    envelope = Envelope(topics.events, f"/jetworker/{system.name}")
    producer = AIOKafkaProducer(bootstrap_servers=system.kafka)
    await producer.start()
    try:
        for number in range(system.partitions):
            await producer.send(topics.state, b"{}", BARRIER, partition=number)
        for key, value in records(_VERSION):
            if key.decode() in _TOLD:
                await producer.send(topics.state, value, key, partition=0)
        for name in _TOLD:
            for each in events(name):
                record = envelope.event(each, story(name).accepted_at)
                headers = list(record.headers)
                await producer.send(
                    topics.events, record.value, record.key, headers=headers
                )
        await producer.flush()
    finally:
        await producer.stop()
    consumer = AIOKafkaConsumer(bootstrap_servers=system.kafka, group_id=system.name)
    await consumer.start()
    try:
        commands = TopicPartition(topics.commands, 0)
        consumer.assign([commands])
        await consumer.commit({commands: len(_COMMANDS)})
    finally:
        await consumer.stop()


async def test_a_state_topic_of_the_first_version_is_gone_on_with(
    system: System,
) -> None:
    system.changes = {"JETWORKER_DEDUPE_WINDOW": "3650d"}  # its dates are of then
    under_way = story("in-progress")
    assert under_way.job_id is not None
    assert under_way.delivery_id is not None
    system.jet.add_job("before", under_way.job_id)
    route = f"{{job_id: {under_way.job_id}, {STATED}}}"
    (system.folder / "routes.yaml").write_text(f"routes: {{archive: {route}}}")
    objects = _COMMANDS[0]["objects"]
    known = Started(under_way.delivery_id, under_way.job_id, objects, 0.0)
    system.jet.deliveries[known.delivery_id] = known
    await leave(system)

    worker = await (await system.worker()).ready()
    abandon = {"commandId": "held", "type": "resolve", "action": "abandon"}
    await publish(system, [*_COMMANDS, abandon], lambda _: 0)
    found = await system.terminal(len(_TOLD))

    async def are_answered() -> bool:
        answers = [e.kind for e in await system.events() if "command." in e.kind]
        return Counter(answers) == {"command.duplicate": 5, "command.applied": 1}

    await until(are_answered, "the answers to repeats and to the order")
    ends = {event.key: event.data for event in found if event.is_terminal}
    assert {name: data["state"] for name, data in ends.items()} == {
        **dict.fromkeys(_TOLD, "completed"),
        "held": "failed",
    }
    assert ends["in-progress"]["deliveryId"] == known.delivery_id
    started = {
        name: data["deliveryId"] for name, data in ends.items() if name != "held"
    }
    assert set(started.values()) == system.jet.deliveries.keys()
    assert len(system.jet.deliveries) == len(started)
    assert worker.process.returncode is None
    await audited(system)
