"""
The four topics: made by `jetworker topics create`, checked before a worker starts.

What belongs together is made to fit what is already there: as many partitions of state
as of commands, and twice the record size that commands may have wherever a command is
parked or remembered.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import structlog
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    KafkaError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)

from jetworker.config.model import Config, TopicsConfig
from jetworker.core.errors import ConfigurationError, KafkaUnavailable
from jetworker.kafka import layout
from jetworker.kafka.layout import Topic

log = structlog.get_logger()

_COPIES = 3
_TIMEOUT = 15.0


async def create(
    config: Config, *, partitions: int = 6, replication: int | None = None
) -> list[str]:
    """
    Make the topics that are missing and return a line for each, and for what is wrong.

    *replication* None is 3, or as many as there are brokers. Raises KafkaUnavailable,
    and ConfigurationError if Kafka refuses to make a topic.
    """
    topics = config.topics
    async with _admin(config) as admin:
        found = await _described(admin, layout.names(topics))
        if replication is None:
            brokers = (await admin.describe_cluster())["brokers"]
            replication = min(_COPIES, len(brokers))
        for topic in _missing(topics, found, partitions, replication):
            _raise_for(topic.name, await admin.create_topics([topic]))
        now = await _until_all_are_there(admin, layout.names(topics))
    return [_line(name, now[name], is_new=name not in found) for name in now] + (
        layout.problems(topics, now)
    )


async def layout_problems(config: Config) -> list[str]:
    """Return what is wrong with the topics and its cure; raises KafkaUnavailable."""
    async with _admin(config) as admin:
        found = await _described(admin, layout.names(config.topics))
    hidden = [name for name, topic in found.items() if not topic.is_described]
    if hidden:
        cure = "allow this user DescribeConfigs to have them checked"
        log.warning("the settings of topics are not checked", topics=hidden, cure=cure)
    return layout.problems(config.topics, found)


def _missing(
    topics: TopicsConfig, found: Mapping[str, Topic], partitions: int, replication: int
) -> list[NewTopic]:
    """Describe what is to be made, so that it fits what is there."""
    commands = found.get(topics.commands)
    known = commands if commands and commands.is_described else None
    limit = known.record_bytes if known else layout.COMMAND_BYTES
    paired = commands or found.get(topics.state)
    counts = dict.fromkeys(layout.names(topics), partitions)
    if paired:
        counts |= {topics.commands: paired.partitions, topics.state: paired.partitions}
    settings = layout.settings(topics, limit=limit, replication=replication)
    return [
        NewTopic(name, counts[name], replication, topic_configs=settings[name])
        for name in layout.names(topics)
        if name not in found
    ]


def _raise_for(name: str, answer: Any) -> None:
    for _, code, *message in answer.topic_errors:
        error = for_code(code)
        if not code or error is TopicAlreadyExistsError:  # somebody was faster
            continue
        msg = f"topic {name}: not created: {error.__name__}: {(message or [''])[0]}"
        if error.retriable:
            raise KafkaUnavailable(msg)
        raise ConfigurationError(msg)


def _line(name: str, topic: Topic, *, is_new: bool) -> str:
    what = "created" if is_new else "exists already, left as it is"
    return f"{name}: {what}, {topic.partitions} partitions"


async def _until_all_are_there(
    admin: AIOKafkaAdminClient, names: tuple[str, ...]
) -> dict[str, Topic]:
    """Wait for new topics to reach the broker that we ask; `_admin` has the deadline."""
    while True:
        found = await _described(admin, names)
        if len(found) == len(names):
            return found
        await asyncio.sleep(0.05)


async def _described(
    admin: AIOKafkaAdminClient, names: tuple[str, ...]
) -> dict[str, Topic]:
    existing = set(await admin.list_topics())
    there = [name for name in names if name in existing]
    if not there:
        return {}
    metadata = await admin.describe_topics(there)
    counts = {each["topic"]: len(each["partitions"]) for each in metadata}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in there]
    settings = await _read_settings(admin, resources)
    return {name: Topic(counts[name], settings[name]) for name in settings}


async def _read_settings(
    admin: AIOKafkaAdminClient, resources: list[ConfigResource]
) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    answers: list[Any] = await admin.describe_configs(resources)
    for code, message, _, name, entries in (
        each for answer in answers for each in answer.resources
    ):
        error = for_code(code)
        if error is UnknownTopicOrPartitionError:  # the broker we asked is behind
            continue
        if code and error is not TopicAuthorizationFailedError:
            msg = f"the settings of {name} cannot be read: {error.__name__}: {message}"
            raise (KafkaUnavailable if error.retriable else ConfigurationError)(msg)
        found[name] = {entry[0]: entry[1] for entry in entries}
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
