"""`topics create` and the check of the layout, on a real Kafka."""

import os
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from jetworker.config.model import Config, TopicsConfig
from jetworker.core.errors import ConfigurationError, KafkaUnavailable
from jetworker.kafka import topics as making
from jetworker.kafka.topics import MadeTopic
from tests.support import forked
from tests.support.kafka import broker as brokers

pytestmark = pytest.mark.integration
_NOWHERE = "127.0.0.1:9"


@pytest.fixture
def config(kafka: str) -> Config:
    """Settings with topics that are not there yet."""
    return brokers.settings(kafka, brokers.fresh_topics())


async def _make(config: Config, topic: NewTopic) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=config.kafka.bootstrap_servers)
    await admin.start()
    try:
        await admin.create_topics([topic])
        while topic.name not in await admin.list_topics():
            pass
    finally:
        await admin.close()


async def _settings(config: Config, name: str) -> dict[str, str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=config.kafka.bootstrap_servers)
    await admin.start()
    try:
        resource = ConfigResource(ConfigResourceType.TOPIC, name)
        answers: list[Any] = await admin.describe_configs([resource])
        return {entry[0]: entry[1] for entry in answers[0].resources[0][4]}
    finally:
        await admin.close()


async def test_topics_that_were_made_are_right_at_once(config: Config) -> None:
    made = await making.create(config)

    assert made.topics == tuple(
        MadeTopic(name, 6, is_new=True) for name in config.topics.names
    )
    assert made.problems == ()
    assert (await making.layout(config)).problems == ()


async def test_making_them_again_leaves_them(config: Config) -> None:
    await making.create(config, partitions=3)

    assert (await making.create(config, partitions=5)).topics == tuple(
        MadeTopic(name, 3, is_new=False) for name in config.topics.names
    )


async def test_the_broker_has_taken_every_setting(config: Config) -> None:
    await making.create(config, partitions=1)
    wanted = making.intended(config.topics, limit=making.COMMAND_BYTES, replication=1)

    for name in config.topics.names:
        has = await _settings(config, name)
        assert {key: has[key] for key in wanted[name]} == wanted[name]


async def test_the_others_are_made_to_fit_commands_that_are_there(
    config: Config,
) -> None:
    own = {"max.message.bytes": "3000000"}
    await _make(config, NewTopic(config.topics.commands, 2, 1, topic_configs=own))

    made = await making.create(config, partitions=7)

    assert made.topics == (
        MadeTopic(config.topics.commands, 2, is_new=False),
        MadeTopic(config.topics.events, 7, is_new=True),
        MadeTopic(config.topics.state, 2, is_new=True),
        MadeTopic(config.topics.dead_letters, 7, is_new=True),
    )
    assert (await making.layout(config)).problems == ()


async def test_commands_are_made_to_fit_a_state_that_is_there(config: Config) -> None:
    state = {"cleanup.policy": "compact", "max.message.bytes": "9000000"}
    await _make(config, NewTopic(config.topics.state, 4, 1, topic_configs=state))
    await making.create(config)

    assert (await making.layout(config)).problems == ()


async def test_making_tells_what_is_wrong_with_what_is_there(config: Config) -> None:
    await _make(config, NewTopic(config.topics.state, 6, 1))

    *_, policy, size = (await making.create(config)).problems

    assert policy.startswith(f"topic {config.topics.state} has cleanup.policy=delete")
    assert size.startswith(f"topic {config.topics.state} has max.message.bytes=1048588")


async def test_what_kafka_refuses_is_no_outage(config: Config) -> None:
    """Three copies on one broker will not work later either."""
    with pytest.raises(ConfigurationError, match=r"not created: InvalidReplication"):
        await making.create(config, replication=3)


async def test_a_name_kafka_refuses_is_named(kafka: str) -> None:
    names = TopicsConfig(commands=".")

    with pytest.raises(
        ConfigurationError, match=r"topic \.: not created: InvalidTopic"
    ):
        await making.create(brokers.settings(kafka, names))


async def test_kafka_being_unreachable_is_an_outage() -> None:
    config = brokers.settings(_NOWHERE, TopicsConfig())

    with pytest.raises(KafkaUnavailable):
        await making.layout(config)
    with pytest.raises(KafkaUnavailable):
        await making.create(config)


async def _run(config: Config, *command: str) -> tuple[int | None, str, str]:
    """Run a command of ours to its end."""
    topics = config.topics.model_dump()
    process = await forked.start(
        *command,
        env={
            "PATH": os.environ["PATH"],
            "JETWORKER_ROUTES_FILE": os.devnull,
            "JETWORKER_KAFKA__BOOTSTRAP_SERVERS": config.kafka.bootstrap_servers,
            "JETWORKER_JET__CLIENT_ID": "tests",
            "JETWORKER_JET__CLIENT_SECRET": "tests",
            "JETWORKER_HTTP__PORT": "0",
            **{
                f"JETWORKER_TOPICS__{key.upper()}": topics[key]
                for key in topics
                if topics[key]
            },
        },
        stdout=forked.PIPE,
        stderr=forked.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_the_command_makes_them_with_its_defaults(config: Config) -> None:
    code, out, err = await _run(config, "topics", "create")

    assert (code, len(out.splitlines()), err) == (0, 4, "")
    assert (await making.layout(config)).problems == ()


async def test_what_is_unwise_is_told_and_does_not_keep_a_check_from_being_ok(
    config: Config,
) -> None:
    await _make(
        config,
        NewTopic(config.topics.events, 6, 1, topic_configs={"retention.ms": "3600000"}),
    )
    await making.create(config)

    found = await making.layout(config)

    copies, retention = found.warnings
    assert found.problems == ()
    assert copies.startswith("one broker alone has")
    assert retention.startswith(
        f"topic {config.topics.events} keeps records for 3600 s"
    )
    _, out, _ = await _run(config, "check")
    assert f"topics: ok, {copies}; {retention}\n" in out
