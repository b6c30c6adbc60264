"""The four topics: made by `jetworker topics create`, checked before a worker starts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from jetworker.config import Config, TopicsConfig
from jetworker.errors import KafkaUnavailable

COMMAND_BYTES = (1 << 20) + (64 << 10)
_TIMEOUT = 15.0


async def create(
    config: Config, *, partitions: int = 6, replication: int = -1
) -> list[str]:
    """
    Make the topics that are missing and return a line for each.

    *replication* -1 is the broker's default. Raises KafkaUnavailable.
    """
    lines: list[str] = []
    async with _admin(config) as admin:
        existing = await admin.list_topics()
        for name, settings in _settings(config.topics).items():
            if name in existing:
                lines.append(f"{name}: exists already, left as it is")
                continue
            topic = NewTopic(
                name,
                num_partitions=partitions,
                replication_factor=replication,
                topic_configs=settings,
            )
            answer = await admin.create_topics([topic])
            lines.append(_created(name, partitions, answer))
    return lines


async def layout_problems(config: Config) -> list[str]:
    """Return what is wrong with the topics, each with its cure; raises KafkaUnavailable."""
    topics = config.topics
    async with _admin(config) as admin:
        names = list(_settings(topics))
        existing = await admin.list_topics()
        missing = [name for name in names if name not in existing]
        if missing:
            cure = "run `jetworker topics create`"
            return [f"topic {name} does not exist: {cure}" for name in missing]
        described = await admin.describe_topics([topics.commands, topics.state])
        counts = {each["topic"]: len(each["partitions"]) for each in described}
        settings = await _read_settings(admin, names)
    return [
        *_count_problems(topics, counts),
        *_policy_problems(topics, settings),
        *_size_problems(topics, settings),
    ]


def _settings(topics: TopicsConfig) -> dict[str, dict[str, str]]:
    """Return the settings of each topic; what parks or records a command is twice it."""
    double = str(2 * COMMAND_BYTES)
    return {
        topics.commands: {"max.message.bytes": str(COMMAND_BYTES)},
        topics.events: {"max.message.bytes": double},
        topics.state: {
            "cleanup.policy": "compact",
            "max.message.bytes": double,
            "segment.ms": "3600000",
            "max.compaction.lag.ms": "86400000",
            "min.cleanable.dirty.ratio": "0.1",
        },
        topics.dead_letters: {"max.message.bytes": double},
    }


def _created(name: str, partitions: int, answer: Any) -> str:
    for error in answer.topic_errors:
        kind = for_code(error[1])
        if error[1] and kind is not TopicAlreadyExistsError:
            msg = f"{name}: not created: {kind.__name__}: {error[2] or ''}"
            raise KafkaUnavailable(msg)
    return f"{name}: created with {partitions} partitions"


def _count_problems(topics: TopicsConfig, counts: dict[str, int]) -> list[str]:
    commands, state = counts.get(topics.commands), counts.get(topics.state)
    if commands == state:
        return []
    return [
        f"topic {topics.state} has {state} partitions and {topics.commands} has"
        f" {commands}: they must be the same, add partitions to the smaller one"
    ]


def _policy_problems(
    topics: TopicsConfig, settings: dict[str, dict[str, str]]
) -> list[str]:
    policy = settings[topics.state].get("cleanup.policy", "")
    if "compact" in policy:
        return []
    return [
        f"topic {topics.state} has cleanup.policy={policy}: set it to compact, or"
        " deliveries are forgotten"
    ]


def _size_problems(
    topics: TopicsConfig, settings: dict[str, dict[str, str]]
) -> list[str]:
    def limit(name: str) -> int:
        return int(settings[name].get("max.message.bytes", "1048588"))

    wanted = 2 * limit(topics.commands)
    return [
        f"topic {name} has max.message.bytes={limit(name)}: set it to at least"
        f" {wanted}, twice that of {topics.commands}"
        for name in (topics.state, topics.dead_letters)
        if limit(name) < wanted
    ]


async def _read_settings(
    admin: AIOKafkaAdminClient, names: list[str]
) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for name in names:
        resource = ConfigResource(ConfigResourceType.TOPIC, name)
        answers: list[Any] = await admin.describe_configs([resource])
        for each in (each for answer in answers for each in answer.resources):
            found[name] = {entry[0]: entry[1] for entry in each[4]}
    return found


@asynccontextmanager
async def _admin(config: Config) -> AsyncIterator[AIOKafkaAdminClient]:
    """Open an admin client; whatever Kafka does not do is KafkaUnavailable."""
    admin = AIOKafkaAdminClient(**config.kafka.client_options())
    try:
        async with asyncio.timeout(_TIMEOUT):
            await admin.start()
            yield admin
    except (KafkaError, TimeoutError, OSError) as exc:
        msg = f"kafka does not answer: {type(exc).__name__}: {exc}"
        raise KafkaUnavailable(msg) from exc
    finally:
        await admin.close()
