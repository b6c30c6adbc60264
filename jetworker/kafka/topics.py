"""
The topics: made by `jetworker topics create`, checked before a worker starts.

What belongs together is made to fit what is already there: as many partitions of state
as of commands, and twice the record size that commands may have wherever a command is
parked or remembered.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
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
from jetworker.kafka.clients import KafkaClients, in_words
from jetworker.kafka.group import offsets_of
from jetworker.kafka.ownership import mark_beginnings
from jetworker.kafka.sign_in import client_options

log = structlog.get_logger()

# A command of 1 MiB, with room for its key and headers.
COMMAND_BYTES = (1 << 20) + (64 << 10)
_EVENT_BYTES = 64 << 10
_COPIES = 3  # of each partition, where there are as many brokers
_TIMEOUT = 15.0  # seconds


@dataclass(frozen=True, slots=True)
class Topic:
    """
    A topic as it is: its partitions and its settings, none if we may not see them.

    *copies* is how many brokers have each of its records.
    """

    partitions: int
    settings: Mapping[str, str]
    copies: int

    @property
    def is_described(self) -> bool:
        """Whether Kafka let us see its settings."""
        return bool(self.settings)

    @property
    def record_bytes(self) -> int:
        """The largest batch of records that it takes."""
        return int(self.settings["max.message.bytes"])

    @property
    def is_compacted(self) -> bool:
        """Whether only the last record of a key is kept, and a key is required."""
        return "compact" in self.settings["cleanup.policy"]

    @property
    def retention(self) -> float:
        """For how many seconds a record is kept for sure."""
        kept = int(self.settings["retention.ms"])
        return math.inf if kept < 0 else kept / 1000


@dataclass(frozen=True, slots=True)
class Layout:
    """What is wrong with the topics, each with its cure, and what is only unwise."""

    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MadeTopic:
    """A topic that is there now; one that is not *is_new* was left as it was."""

    name: str
    partitions: int
    is_new: bool


@dataclass(frozen=True, slots=True)
class Created:
    """What is there after the missing topics were made, and what is wrong with it."""

    topics: tuple[MadeTopic, ...]
    problems: tuple[str, ...]


def intended(
    topics: TopicsConfig, *, limit: int, replication: int
) -> dict[str, dict[str, str]]:
    """
    Return the settings of each topic.

    What Kafka has taken is on two brokers, where there are two. The active segment of a
    partition is never compacted, so the state's are short: a restore reads little more
    than what is still remembered.
    """
    every = {"min.insync.replicas": str(min(2, replication))}
    double = {"max.message.bytes": str(2 * limit)} | every
    compacted = {
        "cleanup.policy": "compact",
        "segment.ms": "3600000",
        "max.compaction.lag.ms": "86400000",
        "min.cleanable.dirty.ratio": "0.1",
    }
    made = {
        topics.commands: {"max.message.bytes": str(limit)} | every,
        topics.events: double,
        topics.state: compacted | double,
        topics.dead_letters: double,
    }
    if topics.deliveries is not None:
        made[topics.deliveries] = compacted | double
    return made


def problems(topics: TopicsConfig, found: Mapping[str, Topic]) -> list[str]:
    """Return what is wrong with the topics that were found, each with its cure."""
    missing = [name for name in topics.names if name not in found]
    if missing:
        cure = "run `jetworker topics create`, or allow this user to see it"
        return [f"topic {name} does not exist: {cure}" for name in missing]
    described = {name: topic for name, topic in found.items() if topic.is_described}
    return [
        *_count_problems(topics, found),
        *_policy_problems(topics, described),
        *_size_problems(topics, described),
    ]


def _count_problems(topics: TopicsConfig, found: Mapping[str, Topic]) -> list[str]:
    pairs = [(topics.state, topics.commands)]
    if topics.deliveries is not None:
        pairs.append((topics.deliveries, topics.events))
    counts = [
        (found[one].partitions, one, found[other].partitions, other)
        for one, other in pairs
    ]
    return [
        f"topic {one} has {number} partitions and {other} has {others}: they must be the"
        f" same, add partitions to {one if number < others else other}"
        for number, one, others, other in counts
        if number != others
    ]


def _policy_problems(topics: TopicsConfig, found: Mapping[str, Topic]) -> list[str]:
    def policy(name: str) -> str:
        return (
            f"topic {name} has cleanup.policy={found[name].settings['cleanup.policy']}"
        )

    lost = {topics.state: "or deliveries are forgotten"}
    if topics.deliveries is not None:
        lost[topics.deliveries] = "it is a table: the latest event of each delivery"
    wrong = [
        f"{policy(name)}: set it to compact{' alone' if found[name].is_compacted else ''},"
        f" {why}"
        for name, why in lost.items()
        if name in found and found[name].settings["cleanup.policy"] != "compact"
    ]
    return wrong + [
        f"{policy(name)}: set it to delete, compaction drops records and refuses those"
        " without a key"
        for name in (topics.commands, topics.events, topics.dead_letters)
        if name in found and found[name].is_compacted
    ]


def _size_problems(topics: TopicsConfig, found: Mapping[str, Topic]) -> list[str]:
    if topics.commands not in found:
        return []
    double = 2 * found[topics.commands].record_bytes
    why = f"twice that of {topics.commands}"
    wanted = {
        topics.state: (double, why),
        topics.dead_letters: (double, why),
        topics.events: (_EVENT_BYTES, "or events do not fit"),
    }
    if topics.deliveries is not None:
        wanted[topics.deliveries] = (_EVENT_BYTES, "or events do not fit")
    return [
        f"topic {name} has max.message.bytes={found[name].record_bytes}: set it to at"
        f" least {least}, {reason}"
        for name, (least, reason) in wanted.items()
        if name in found and found[name].record_bytes < least
    ]


def warnings(
    topics: TopicsConfig, found: Mapping[str, Topic], dedupe_window: timedelta
) -> list[str]:
    """Return what works as long as nothing fails, or as long as nobody looks back."""
    told = []
    single = [name for name, topic in found.items() if topic.copies == 1]
    if single:
        told.append(
            f"one broker alone has {_listed(single)}: when it is lost, so is what was"
            " accepted; give them a replication factor of 3"
        )
    described = {name: topic for name, topic in found.items() if topic.is_described}
    thin = [
        name
        for name, topic in described.items()
        if topic.copies > 1 and int(topic.settings["min.insync.replicas"]) < 2  # noqa: PLR2004 -- two
    ]
    if thin:
        told.append(
            f"what Kafka has taken on {_listed(thin)} may be on one broker alone: set"
            " min.insync.replicas to 2"
        )
    for name, lost in (
        (topics.commands, "`jetworker resend` and `state rebuild` do not find them"),
        (topics.events, "`jetworker state rebuild` does not know of them"),
    ):
        window = dedupe_window.total_seconds()
        if name in described and described[name].retention < window:
            told.append(
                f"topic {name} keeps records for {described[name].retention:g} s"
                f" (retention.ms), and commands are remembered for {window:g} s"
                f" (JETWORKER_DEDUPE_WINDOW): after the retention {lost}"
            )
    return told


def _listed(names: Sequence[str]) -> str:
    return ", ".join(sorted(names))


async def create(
    config: Config,
    *,
    partitions: int = 6,
    replication: int | None = None,
    is_loss_accepted: bool = False,
) -> Created:
    """
    Make the topics that are missing and return what is there, and what is wrong.

    *replication* None is 3, or as many as there are brokers. Raises KafkaUnavailable,
    and ConfigurationError if Kafka refuses to make a topic, or if the state topic is gone
    although the group has offsets: it is made anew only where its *loss is accepted*.
    """
    topics = config.topics
    is_lost = await _is_state_lost(config)
    if is_lost and not is_loss_accepted:
        msg = (
            f"topic {topics.state} is gone, and group {config.kafka.group_id} has offsets:"
            " put it back, run `jetworker state rebuild`, or give --accept-loss if"
            " nothing of it is to be remembered"
        )
        raise ConfigurationError(msg)
    async with _admin(config) as admin:
        found = await _described(admin, topics.names)
        if replication is None:
            brokers = (await admin.describe_cluster())["brokers"]
            replication = min(_COPIES, len(brokers))
        for topic in _missing(topics, found, partitions, replication):
            _raise_for(topic.name, await admin.create_topics([topic]))
        now = await _until_all_are_there(admin, topics.names)
    if is_lost:
        kafka = KafkaClients(config.kafka, topics)
        await mark_beginnings(kafka, range(now[topics.state].partitions))
    there = (
        MadeTopic(name, topic.partitions, is_new=name not in found)
        for name, topic in now.items()
    )
    return Created(tuple(there), tuple(problems(topics, now)))


async def _is_state_lost(config: Config) -> bool:
    """Whether the state topic is gone, under a group that stands on commands."""
    async with _admin(config) as admin:
        there = set(await admin.list_topics())
    if config.topics.state in there or config.topics.commands not in there:
        return False
    return bool(await offsets_of(config))


async def missing_state(config: Config) -> int:
    """Return the partitions that the state topic is to have, 0 where it is there."""
    async with _admin(config) as admin:
        found = await _described(admin, config.topics.names)
    missing = {each.name: each for each in _missing(config.topics, found, 1, 1)}
    state = missing.get(config.topics.state)
    return state.num_partitions if state else 0


async def create_state(config: Config) -> None:
    """Make the state topic alone, empty, if it is missing: for a rebuild."""
    name = config.topics.state
    async with _admin(config) as admin:
        found = await _described(admin, config.topics.names)
        brokers = (await admin.describe_cluster())["brokers"]
        for topic in _missing(config.topics, found, 1, min(_COPIES, len(brokers))):
            if topic.name == name:
                _raise_for(name, await admin.create_topics([topic]))
                await _until_all_are_there(admin, (name,))


async def layout(config: Config) -> Layout:
    """Look at the topics as they are; raises KafkaUnavailable."""
    async with _admin(config) as admin:
        found = await _described(admin, config.topics.names)
    hidden = [name for name, topic in found.items() if not topic.is_described]
    if hidden:
        cure = "allow this user DescribeConfigs to have them checked"
        log.warning("the settings of topics are not checked", topics=hidden, cure=cure)
    return Layout(
        tuple(problems(config.topics, found)),
        tuple(warnings(config.topics, found, config.dedupe_window)),
    )


def _missing(
    topics: TopicsConfig, found: Mapping[str, Topic], partitions: int, replication: int
) -> list[NewTopic]:
    """Describe what is to be made, so that it fits what is there."""
    commands = found.get(topics.commands)
    known = commands if commands and commands.is_described else None
    limit = known.record_bytes if known else COMMAND_BYTES
    paired = commands or found.get(topics.state)
    counts = dict.fromkeys(topics.names, partitions)
    if paired:
        counts |= {topics.commands: paired.partitions, topics.state: paired.partitions}
    told = found.get(topics.events) or found.get(topics.deliveries or "")
    if told:
        counts |= dict.fromkeys(
            (topics.events, topics.deliveries or ""), told.partitions
        )
    made = intended(topics, limit=limit, replication=replication)
    return [
        NewTopic(name, counts[name], replication, topic_configs=made[name])
        for name in topics.names
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
    answers = await admin.describe_topics(there)
    # One without partitions is on its way to the broker that we asked.
    shown = {each["topic"]: each["partitions"] for each in answers}
    partitions = {name: each for name, each in shown.items() if each}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in there]
    settings = await _read_settings(admin, resources)
    return {
        name: Topic(
            len(partitions[name]),
            settings[name],
            min(len(each["replicas"]) for each in partitions[name]),
        )
        for name in settings
        if name in partitions
    }


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
    admin = AIOKafkaAdminClient(**client_options(config.kafka))
    try:
        async with asyncio.timeout(_TIMEOUT):
            await admin.start()
            yield admin
    except (KafkaError, TimeoutError, OSError) as exc:
        msg = f"kafka does not answer: {in_words(exc)}"
        raise KafkaUnavailable(msg) from exc
    finally:
        await admin.close()
