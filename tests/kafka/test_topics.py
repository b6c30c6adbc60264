"""What a topic layout is told is wrong with it, and how to repair it."""

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from jetworker.config.model import TopicsConfig
from jetworker.kafka import topics
from jetworker.kafka.topics import Topic

_NAMES = TopicsConfig()
_WEEK = timedelta(days=7)
_DEFAULTS = {"cleanup.policy": "delete", "retention.ms": "604800000"}


def _good() -> dict[str, Topic]:
    made = topics.intended(_NAMES, limit=topics.COMMAND_BYTES, replication=3)
    return {name: Topic(6, _DEFAULTS | made[name], 3) for name in _NAMES.names}


def _with(name: str, **changes: str) -> dict[str, Topic]:
    settings = {key.replace("_", "."): value for key, value in changes.items()}
    good = _good()
    topic = good[name]
    return good | {name: replace(topic, settings={**topic.settings, **settings})}


def test_what_topics_create_makes_is_right() -> None:
    assert topics.problems(_NAMES, _good()) == []
    assert topics.warnings(_NAMES, _good(), _WEEK) == []


def test_a_command_of_one_mebibyte_fits_and_can_be_parked_and_recorded() -> None:
    sizes = {name: topic.record_bytes for name, topic in _good().items()}

    assert sizes[_NAMES.commands] > 1 << 20
    assert sizes[_NAMES.state] == sizes[_NAMES.dead_letters]
    assert sizes[_NAMES.state] == 2 * sizes[_NAMES.commands]


@pytest.mark.parametrize(("brokers", "copies"), [(1, "1"), (2, "2"), (3, "2")])
def test_what_is_taken_is_on_two_brokers_where_there_are_two(
    brokers: int, copies: str
) -> None:
    made = topics.intended(_NAMES, limit=1, replication=brokers)

    assert {each["min.insync.replicas"] for each in made.values()} == {copies}


@pytest.mark.parametrize("name", _NAMES.names)
def test_a_missing_topic_is_named_and_nothing_else_is_said(name: str) -> None:
    found = _good()
    del found[name]

    assert topics.problems(_NAMES, found) == [
        f"topic {name} does not exist: run `jetworker topics create`, or allow this"
        " user to see it"
    ]


@pytest.mark.parametrize(
    ("larger", "smaller"),
    [(_NAMES.commands, _NAMES.state), (_NAMES.state, _NAMES.commands)],
)
def test_different_partition_counts_name_the_topic_to_enlarge(
    larger: str, smaller: str
) -> None:
    found = _good()
    found[larger] = replace(found[larger], partitions=9)

    (problem,) = topics.problems(_NAMES, found)

    assert problem.startswith(
        f"topic {_NAMES.state} has {found[_NAMES.state].partitions}"
    )
    assert problem.endswith(f"add partitions to {smaller}")


_TABLE = TopicsConfig(deliveries="jet.deliveries")


def _with_table(**changes: str) -> dict[str, Topic]:
    made = topics.intended(_TABLE, limit=topics.COMMAND_BYTES, replication=3)
    settings = {key.replace("_", "."): value for key, value in changes.items()}
    table = Topic(6, _DEFAULTS | made["jet.deliveries"] | settings, 3)
    return _good() | {"jet.deliveries": table}


def test_a_topic_of_deliveries_is_as_it_is_made() -> None:
    assert topics.problems(_TABLE, _with_table()) == []
    assert topics.warnings(_TABLE, _with_table(), _WEEK) == []


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (
            _good(),
            "topic jet.deliveries does not exist: run `jetworker topics create`, or allow"
            " this user to see it",
        ),
        (
            _with_table()
            | {"jet.events": replace(_good()["jet.events"], partitions=9)},
            "topic jet.deliveries has 6 partitions and jet.events has 9: they must be the"
            " same, add partitions to jet.deliveries",
        ),
        (
            _with_table(cleanup_policy="delete"),
            "topic jet.deliveries has cleanup.policy=delete: set it to compact, it is a"
            " table: the latest event of each delivery",
        ),
        (
            _with_table(cleanup_policy="compact,delete"),
            "topic jet.deliveries has cleanup.policy=compact,delete: set it to compact"
            " alone, it is a table: the latest event of each delivery",
        ),
        (
            _with_table(max_message_bytes="1024"),
            "topic jet.deliveries has max.message.bytes=1024: set it to at least 65536,"
            " or events do not fit",
        ),
    ],
    ids=["missing", "fewer partitions", "deleted", "both", "small"],
)
def test_what_is_wrong_with_a_topic_of_deliveries_is_told(
    found: dict[str, Topic], problem: str
) -> None:
    assert topics.problems(_TABLE, found) == [problem]


def test_a_state_that_is_not_compacted_is_wrong() -> None:
    assert topics.problems(_NAMES, _with(_NAMES.state, cleanup_policy="delete")) == [
        "topic jet.state has cleanup.policy=delete: set it to compact, or deliveries"
        " are forgotten"
    ]


@pytest.mark.parametrize("policy", ["compact,delete", "delete,compact"])
def test_a_state_that_is_compacted_and_deleted_is_wrong(policy: str) -> None:
    assert topics.problems(_NAMES, _with(_NAMES.state, cleanup_policy=policy)) == [
        f"topic jet.state has cleanup.policy={policy}: set it to compact alone, or"
        " deliveries are forgotten"
    ]


def test_what_only_one_broker_need_have_is_unwise() -> None:
    found = _with(_NAMES.state, min_insync_replicas="1")
    found[_NAMES.events] = replace(found[_NAMES.events], copies=1)

    assert topics.warnings(_NAMES, found, _WEEK) == [
        "one broker alone has jet.events: when it is lost, so is what was accepted;"
        " give them a replication factor of 3",
        "what Kafka has taken on jet.state may be on one broker alone: set"
        " min.insync.replicas to 2",
    ]


@pytest.mark.parametrize(
    ("name", "lost"),
    [
        (_NAMES.commands, "`jetworker resend` and `state rebuild` do not find them"),
        (_NAMES.events, "`jetworker state rebuild` does not know of them"),
    ],
)
def test_a_retention_that_is_shorter_than_commands_are_remembered_is_unwise(
    name: str, lost: str
) -> None:
    assert topics.warnings(_NAMES, _with(name, retention_ms="3600000"), _WEEK) == [
        f"topic {name} keeps records for 3600 s (retention.ms), and commands are"
        f" remembered for 604800 s (JETWORKER_DEDUPE_WINDOW): after the retention {lost}"
    ]
    assert topics.warnings(_NAMES, _with(name, retention_ms="-1"), _WEEK) == []
    endless = _with(name, retention_ms=str(2**63 - 1))
    assert topics.warnings(_NAMES, endless, _WEEK) == []


def test_settings_that_may_not_be_seen_are_not_called_unwise() -> None:
    hidden = {name: replace(each, settings={}) for name, each in _good().items()}

    assert topics.warnings(_NAMES, hidden, _WEEK) == []


@pytest.mark.parametrize("name", [_NAMES.commands, _NAMES.events, _NAMES.dead_letters])
def test_compaction_where_records_may_have_no_key_is_wrong(name: str) -> None:
    """
    Such a record could not be parked or answered, and would stop its partition.

    Of commands, one that shares its key with a later one could go unread, untold.
    """
    assert topics.problems(_NAMES, _with(name, cleanup_policy="compact")) == [
        f"topic {name} has cleanup.policy=compact: set it to delete, compaction drops"
        " records and refuses those without a key"
    ]


@pytest.mark.parametrize("name", [_NAMES.state, _NAMES.dead_letters])
def test_records_twice_the_size_of_a_command_must_fit(name: str) -> None:
    wanted = 2 * topics.COMMAND_BYTES
    found = _with(name, max_message_bytes=str(wanted - 1))

    assert topics.problems(_NAMES, found) == [
        f"topic {name} has max.message.bytes={wanted - 1}: set it to at least"
        f" {wanted}, twice that of jet.commands"
    ]


def test_every_problem_is_told_at_once() -> None:
    found = _with(_NAMES.commands, max_message_bytes=str(1 << 22))
    found[_NAMES.events] = _with(_NAMES.events, max_message_bytes="1024")[_NAMES.events]

    problems = topics.problems(_NAMES, found)

    assert [problem.split()[1] for problem in problems] == [
        _NAMES.state,
        _NAMES.dead_letters,
        _NAMES.events,
    ]


@pytest.mark.parametrize("name", _NAMES.names)
def test_settings_that_may_not_be_seen_are_not_judged_but_the_others_are(
    name: str,
) -> None:
    hidden = {name: replace(_good()[name], settings={})}
    wrong = _with(_NAMES.state, cleanup_policy="delete")

    assert topics.problems(_NAMES, _good() | hidden) == []
    judged = topics.problems(_NAMES, wrong | hidden)
    assert bool(judged) is (name != _NAMES.state)


class _Behind:
    """A broker that has heard that a topic was made, and not yet of its partitions."""

    async def list_topics(self) -> list[str]:
        return ["known", "new"]

    async def describe_topics(self, names: list[str]) -> list[dict[str, Any]]:
        partitions = {"known": [{"replicas": [1, 2, 3]}], "new": []}
        return [{"topic": name, "partitions": partitions[name]} for name in names]

    async def describe_configs(self, resources: list[Any]) -> list[SimpleNamespace]:
        rows = [(0, "", 2, each.name, [("a", "b")]) for each in resources]
        return [SimpleNamespace(resources=rows)]


async def test_a_topic_whose_partitions_are_not_known_yet_is_not_there_yet() -> None:
    admin = cast("AIOKafkaAdminClient", _Behind())

    found = await topics._described(admin, ("known", "new", "missing"))  # noqa: SLF001

    assert found == {"known": Topic(1, {"a": "b"}, 3)}
