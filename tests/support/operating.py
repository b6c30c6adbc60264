"""What operators do to a system, and to its Kafka, in the tests of what is repaired."""

import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.protocol.admin import DeleteGroupsRequest

from jetworker.core.errors import ConfigurationError
from jetworker.kafka import topics
from tests.support import forked
from tests.support.documents import valid
from tests.support.system import System, WorkerProcess
from tests.support.waiting import until


@asynccontextmanager
async def administrating(system: System) -> AsyncIterator[AIOKafkaAdminClient]:
    """Be the administrator of its Kafka."""
    admin = AIOKafkaAdminClient(bootstrap_servers=system.kafka)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def delete(system: System, topic: str) -> None:
    """Delete a topic, and wait until it is gone."""
    async with administrating(system) as admin:
        await admin.delete_topics([topic])

        async def is_gone() -> bool:
            return topic not in await admin.list_topics()

        await until(is_gone, f"no {topic}")


async def remake(system: System, topic: str) -> None:
    """Delete a topic and make it anew, as an operator would."""
    await delete(system, topic)
    if topic == system.config.topics.state:
        with pytest.raises(ConfigurationError, match="state rebuild"):
            await topics.create(system.config, partitions=system.partitions)
        await topics.create_state(system.config)
    else:
        await topics.create(system.config, partitions=system.partitions)


async def grow(system: System, partitions: int, *names: str) -> None:
    """Give topics of commands and state more partitions."""
    await grow_topics(system, partitions, *names)
    system.partitions = partitions


async def grow_topics(system: System, partitions: int, *names: str) -> None:
    """Give topics more partitions, and wait until the broker shows them to a publisher."""
    async with administrating(system) as admin:
        more = {name: NewPartitions(partitions) for name in names}
        await admin.create_partitions(more)

        async def are_shown() -> bool:
            shown = await admin.describe_topics(list(names))
            return all(len(each["partitions"]) == partitions for each in shown)

        await until(are_shown, f"{partitions} partitions of {', '.join(names)}")


async def cut(
    system: System, begins: Mapping[int, int], topic: str | None = None
) -> None:
    """Delete what is before these offsets, as retention does: the commands by default."""
    topic = topic or system.config.topics.commands
    async with administrating(system) as admin:
        await admin.delete_records(
            {
                TopicPartition(topic, number): RecordsToDelete(before_offset=offset)
                for number, offset in begins.items()
            }
        )


async def empty_state(system: System, partitions: Iterable[int]) -> None:
    """Lose all that these state partitions hold; only a topic that deletes can be cut."""
    await set_policy(system, "delete")
    async with administrating(system) as admin:
        to_the_end = RecordsToDelete(before_offset=-1)
        topic = system.config.topics.state
        await admin.delete_records(
            {TopicPartition(topic, number): to_the_end for number in partitions}
        )
    await set_policy(system, "compact")


async def set_policy(system: System, policy: str) -> None:
    """Set the state topic's `cleanup.policy`, and the rest as it is made."""
    names = system.config.topics
    topic, limit = names.state, 1 << 21  # whatever is not set here is reset
    made = topics.intended(names, limit=limit, replication=system.replication)[topic]
    change = made | {"cleanup.policy": policy}
    async with administrating(system) as admin:
        await admin.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, topic, change)]
        )


async def forget_group(system: System) -> None:
    """Delete the group with its offsets, when it has no members any more."""
    async with administrating(system) as admin:

        async def is_deleted() -> bool:
            request = DeleteGroupsRequest([system.name])
            answer: Any = await admin._send_to_controller(request)  # noqa: SLF001 -- no other way
            ((_, code),) = answer.results
            return bool(code == 0)

        await until(is_deleted, "a group that is gone")


async def publish(
    system: System, commands: Iterable[dict[str, Any]], place: Callable[[str], int]
) -> None:
    """Publish commands, each to the partition that a publisher of its own kind chooses."""
    producer = AIOKafkaProducer(bootstrap_servers=system.kafka)
    await producer.start()
    try:
        topic = system.config.topics.commands
        for command in commands:
            key, value = command["commandId"].encode(), json.dumps(command).encode()
            where = place(command["commandId"])
            await producer.send(topic, value, key, partition=where)
        await producer.flush()
    finally:
        await producer.stop()


@dataclass(frozen=True)
class Done:
    """What a command of the command line answered."""

    code: int
    output: str
    error: str

    def document(self, name: str) -> Any:
        """Return the one JSON document that was printed, held against its schema."""
        return valid(name, json.loads(self.output))


async def command(system: System, *arguments: str, **changes: str) -> Done:
    """Run a command of the command line, with changes of its environment."""
    process = await forked.start(
        *arguments,
        env=system.environ | changes,
        stdout=forked.PIPE,
        stderr=forked.PIPE,
    )
    output, error = await process.communicate()
    assert process.returncode is not None
    return Done(process.returncode, output.decode(), error.decode())


async def audited(system: System, **changes: str) -> None:
    """Fail unless `jetworker audit` finds every guarantee kept."""
    done = await command(system, "audit", "--seconds", "0", **changes)
    assert done.code == 0, done.output + done.error


async def says(worker: WorkerProcess, text: str) -> None:
    """Wait until a worker is not ready, and says so in these words."""

    async def told() -> bool:
        if not worker.port:
            await worker._is_ready()  # noqa: SLF001 -- it learns its port
            return False
        answer = await worker.get("/readyz?verbose")
        return answer.status_code == 503 and text in answer.text

    await until(told, f"a worker that says: {text}")
