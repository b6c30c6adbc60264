"""
What the four topics must be: their settings when made, and what is wrong with others.

Nothing here talks to Kafka; see `topics`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from jetworker.config.model import TopicsConfig

# A command of 1 MiB, with room for its key and headers.
COMMAND_BYTES = (1 << 20) + (64 << 10)
_EVENT_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it is: its partitions and its settings, none if we may not see them."""

    partitions: int
    settings: Mapping[str, str]

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


def names(topics: TopicsConfig) -> tuple[str, ...]:
    """Return the names of the four."""
    return topics.commands, topics.events, topics.state, topics.dead_letters


def settings(
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
    return {
        topics.commands: {"max.message.bytes": str(limit)} | every,
        topics.events: double,
        topics.state: {
            "cleanup.policy": "compact",
            "segment.ms": "3600000",
            "max.compaction.lag.ms": "86400000",
            "min.cleanable.dirty.ratio": "0.1",
        }
        | double,
        topics.dead_letters: double,
    }


def problems(topics: TopicsConfig, found: Mapping[str, Topic]) -> list[str]:
    """Return what is wrong with the topics that were found, each with its cure."""
    missing = [name for name in names(topics) if name not in found]
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
    commands, state = found[topics.commands], found[topics.state]
    if commands.partitions == state.partitions:
        return []
    few = min((commands.partitions, topics.commands), (state.partitions, topics.state))
    return [
        f"topic {topics.state} has {state.partitions} partitions and {topics.commands}"
        f" has {commands.partitions}: they must be the same, add partitions to {few[1]}"
    ]


def _policy_problems(topics: TopicsConfig, found: Mapping[str, Topic]) -> list[str]:
    def policy(name: str) -> str:
        return (
            f"topic {name} has cleanup.policy={found[name].settings['cleanup.policy']}"
        )

    wrong = []
    if topics.state in found and not found[topics.state].is_compacted:
        wrong.append(
            f"{policy(topics.state)}: set it to compact, or deliveries are forgotten"
        )
    return wrong + [
        f"{policy(name)}: set it to delete, compaction drops records and refuses those"
        " without a key"
        for name in (topics.events, topics.dead_letters)
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
    return [
        f"topic {name} has max.message.bytes={found[name].record_bytes}: set it to at"
        f" least {least}, {reason}"
        for name, (least, reason) in wanted.items()
        if name in found and found[name].record_bytes < least
    ]
