"""The state topic is the memory: whose it is, and what happens when it is not whole."""

import json
from collections import Counter
from dataclasses import replace

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from jetworker.core.resumption import Position
from jetworker.kafka.clients import KafkaClients
from jetworker.kafka.group import offsets_of
from jetworker.kafka.ownership import last_kept, put_back
from jetworker.kafka.topics import create
from tests.support.invariants import judge
from tests.support.operating import (
    administrating,
    audited,
    command,
    cut,
    delete,
    forget_group,
    publish,
    remake,
    says,
    set_policy,
)
from tests.support.system import System, a_command
from tests.support.waiting import until

pytestmark = pytest.mark.integration

ENDLESS = 900_000  # ms: the most that Kafka allows, by default


async def duplicates(system: System, number: int) -> None:
    """Wait until so many commands were answered as duplicates, and no more."""

    async def are_answered() -> bool:
        events = await system.events()
        return sum(e.kind == "command.duplicate" for e in events) == number

    await until(are_answered, f"{number} commands that are answered as duplicates")


async def test_another_group_waits_for_the_owner_and_goes_on_where_it_was(
    system: System,
) -> None:
    first = [a_command(f"g-{n}") for n in range(6)]
    owner = await (await system.worker()).ready()
    await system.publish(*first)
    await system.terminal(6)

    other = f"{system.name}-renamed"
    waiting = await system.worker(JETWORKER_KAFKA__GROUP_ID=other)
    await says(waiting, f"the state belongs to group {system.name}")
    assert other in (await waiting.get("/readyz?verbose")).text
    await owner.stop()
    await waiting.ready()
    await system.publish(a_command("g-last"))
    events = await system.terminal(7)

    judge(events, [*first, a_command("g-last")], system.jet)
    await audited(system, JETWORKER_KAFKA__GROUP_ID=other)
    assert [e.kind for e in events if e.kind.startswith("command.")] == []


async def test_a_group_that_takes_over_does_so_at_once_and_the_former_stands_back(
    system: System,
) -> None:
    first = [a_command(f"t-{n}") for n in range(6)]
    former = await (await system.worker()).ready()
    await system.publish(*first)
    await system.terminal(6)

    heir = await system.worker(
        JETWORKER_KAFKA__GROUP_ID=f"{system.name}-2",
        JETWORKER_KAFKA__TAKES_OVER=system.name,
    )
    await heir.ready()
    more = [a_command(f"u-{n}") for n in range(12)]
    await system.publish(*more)
    events = await system.terminal(18)

    judge(events, first + more, system.jet)
    assert [e.kind for e in events if e.kind.startswith("command.")] == []
    await says(former, f"the state belongs to group {system.name}-2")
    await audited(system, JETWORKER_KAFKA__GROUP_ID=f"{system.name}-2")


async def test_a_commands_topic_that_is_made_anew_is_read_from_its_beginning(
    system: System,
) -> None:
    first = [a_command(f"r-{n}") for n in range(12)]
    worker = await (await system.worker()).ready()
    await system.publish(*first)
    await system.terminal(12)
    await worker.stop()

    await remake(system, system.config.topics.commands)
    worker = await (await system.worker()).ready()
    metrics = (await worker.get("/metrics")).text
    assert 'jetworker_input_gaps_total{cause="recreated"} 4.0' in metrics
    await worker.stop()
    more = [a_command(f"r-{n}") for n in range(20, 28)]
    await system.publish(*more, first[0])
    worker = await (await system.worker()).ready()
    events = await system.terminal(20)

    await duplicates(system, 1)
    judge(events, first + more, system.jet)
    metrics = (await worker.get("/metrics")).text
    assert 'jetworker_input_gaps_total{cause="recreated"} 0.0' in metrics
    await audited(system)


async def test_a_log_that_ends_before_the_offset_is_read_from_its_beginning(
    system: System,
) -> None:
    """Truncated or restored: the same topic, and the group stands beyond its end."""
    first = [a_command(f"s-{n}") for n in range(8)]
    worker = await (await system.worker()).ready()
    await system.publish(*first, b"{poison")
    await system.terminal(8)
    await worker.stop()

    ends = await stand_beyond_the_end(system, 5)
    more = [a_command(f"s-{n}") for n in range(20, 28)]
    await system.publish(*more)
    worker = await (await system.worker()).ready()
    events = await system.terminal(16)

    async def is_read() -> bool:
        return await offsets_of(system.config) == await ends_of(system)

    await until(is_read, "a log that is read to its end")

    judge(events, first + more, system.jet)
    metrics = (await worker.get("/metrics")).text
    assert 'jetworker_input_gaps_total{cause="recreated"} 4.0' in metrics
    lines = [json.loads(line) for line in worker.log.read_text().splitlines()]
    cut = [each for each in lines if "was cut" in each["event"]]
    assert {each["partition"]: each["offset"] for each in cut} == {
        number: end + 5 for number, end in ends.items()
    }
    answers = Counter(e.kind for e in await system.events() if "command." in e.kind)
    assert answers == {"command.duplicate": 8, "command.rejected": 2}
    await audited(system)


async def test_a_state_that_is_lost_is_not_taken_for_a_new_one(system: System) -> None:
    first = [a_command(f"l-{n}") for n in range(8)]
    worker = await (await system.worker()).ready()
    await system.publish(*first)
    await system.terminal(8)
    await worker.stop()

    await remake(system, system.config.topics.state)
    await system.publish(*first)
    worker = await system.worker()
    await says(worker, "state lost")

    assert worker.process.returncode is None
    assert {len(each) for each in system.jet.creations().values()} == {1}

    async def all_are_lost() -> bool:
        metrics = (await worker.get("/metrics")).text
        return "jetworker_state_lost_partitions 4.0" in metrics

    await until(all_are_lost, "four partitions whose state is lost")
    assert "jetworker state rebuild" in worker.log.read_text()
    refused = await command(system, "state", "rebuild", "--yes")
    assert refused.code == 1
    assert "has members" in refused.error
    await worker.stop()

    tried = await command(system, "state", "rebuild", "--dry-run")
    assert tried.code == 0
    assert tried.output.count("is empty") == 4
    unasked = await command(system, "state", "rebuild")
    assert (unasked.code, "say --yes" in unasked.error) == (2, True)
    again = await command(system, "state", "rebuild", "--yes")
    assert (again.code, "4 partitions rebuilt" in again.output) == (0, True)
    whole = await command(system, "state", "rebuild", "--yes")
    assert (whole.code, whole.output) == (0, "nothing is lost\n")

    await (await system.worker()).ready()

    await duplicates(system, 8)
    judge(await system.events(), first, system.jet)
    await audited(system)


async def test_a_state_that_is_lost_with_the_offsets_is_rebuilt_from_what_was_told(
    system: System,
) -> None:
    """To a worker this is a first start: only an operator knows that it is none."""
    first = [a_command(f"b-{n}") for n in range(8)]
    worker = await (await system.worker()).ready()
    await system.publish(*first, b"{poison")
    await system.terminal(8)
    new = await command(system, "state", "rebuild", "--dry-run")
    await worker.stop()
    stood = await offsets_of(system.config)

    await forget_group(system)
    await delete(system, system.config.topics.state)
    await create(system.config, partitions=system.partitions)
    tried = await command(system, "state", "rebuild", "--dry-run")
    again = await command(system, "state", "rebuild", "--yes")
    whole = await command(system, "state", "rebuild", "--yes")
    await system.publish(*first)
    await (await system.worker()).ready()

    await duplicates(system, 8)
    judge(await system.events(), first, system.jet)
    await audited(system)
    assert new.code == 1, "it has members"
    assert [
        f"goes on at {stood.get(number, 0)}" in line
        for number, line in enumerate(tried.output.splitlines())
    ] == [True] * 4, tried.output
    assert tried.output.count("the group has no offsets") == 4
    assert (again.code, "4 partitions rebuilt" in again.output) == (0, True)
    assert (whole.code, whole.output) == (0, "nothing is lost\n")


async def test_what_a_rebuild_lets_be_read_again_is_no_broken_guarantee(
    system: System,
) -> None:
    """
    Retention took a record, so a rebuild without offsets passes over none unanswered.

    Commands that were accepted last are read again, and are duplicates; a second answer
    where nothing was read again, and a third one, still break a guarantee.
    """
    first = [a_command(f"x-{n}") for n in range(8)]
    poison = {"commandId": "not an id"}
    worker = await (await system.worker()).ready()
    await publish(system, [a_command("gone")], lambda _: 0)
    await publish(system, [poison, *first], lambda _: 1)
    await system.terminal(9)
    await worker.stop()

    await forget_group(system)
    await cut(system, {0: 1})
    await delete(system, system.config.topics.state)
    said = await command(system, "state", "rebuild", "--dry-run")
    async with administrating(system) as admin:
        there = await admin.list_topics()
    await create(system.config, partitions=system.partitions)
    tried = await command(system, "state", "rebuild", "--dry-run", "--json")
    unasked = await command(system, "state", "rebuild", "--json")
    done = await command(system, "state", "rebuild", "--yes", "--json")
    await (await system.worker()).ready()

    async def answered() -> bool:
        answers = Counter(e.kind for e in await system.events() if "command." in e.kind)
        return answers == {"command.rejected": 1, "command.duplicate": 8}

    await until(answered, "the answers to what is read again")
    assert [done.code, tried.code, unasked.code] == [0, 0, 2], done.error
    assert (unasked.output, "say --yes" in unasked.error) == ("", True)
    assert "commands before offset 1 are gone\n" in said.output
    assert said.output.count("it is empty, the group has no offsets") == 4
    assert system.config.topics.state not in there, "who only asks makes no topic"
    lost = tried.document("state-rebuild")["partitions"]
    assert lost[0] == {
        "partition": 0,
        "why": "it is empty, the group has no offsets, and there are events of commands",
        "followed": 0,
        "remembered": 0,  # whose record is gone is remembered where its id is at home
        "held": 0,
        "goesOnAt": 1,
        "goneBefore": 1,
        "rebuilt": False,
    }
    assert sum(each["remembered"] for each in lost) == 9
    assert [(each["goesOnAt"], each["goneBefore"]) for each in lost[1:]] == [
        (1, None),
        (0, None),
        (0, None),
    ]
    made = [each | {"rebuilt": True} for each in lost]
    assert done.document("state-rebuild") == {"dryRun": False, "partitions": made}
    judge(await system.events(), [*first, a_command("gone")], system.jet)
    await audited(system)
    for wrong in (1, 0):  # once more than it was read, and where it was read once
        await answer_again(system, wrong)
        broken = await command(system, "audit", "--seconds", "0")
        assert broken.code == 1, broken.output
        assert f"{2 - wrong} bad  every record" in broken.output


async def answer_again(system: System, offset: int) -> None:
    """Repeat the answer about a place of partition 1, as no worker may."""
    topic = system.config.topics.events
    place = {"partition": 1, "offset": offset}
    told = [
        each
        for each in await system.read(topic)
        if place.items() <= json.loads(each.value).items()
    ]
    async with AIOKafkaProducer(bootstrap_servers=system.kafka) as producer:
        once = told[-1]
        await producer.send_and_wait(
            topic, once.value, once.key, once.partition, headers=list(once.headers)
        )


async def test_only_where_its_loss_is_accepted_a_state_that_is_gone_is_begun_anew(
    system: System,
) -> None:
    worker = await (await system.worker()).ready()
    await system.publish(a_command("a-1"))
    await system.terminal(1)
    await worker.stop()
    await delete(system, system.config.topics.state)

    refused = await command(system, "topics", "create", "--partitions", "4")
    options = ("--partitions", "4", "--accept-loss")
    accepted = await command(system, "topics", "create", *options)
    worker = await (await system.worker()).ready()
    await system.publish(a_command("a-2"))
    events = await system.terminal(2)

    assert (refused.code, "--accept-loss" in refused.error) == (78, True)
    assert accepted.code == 0, accepted.error
    judge(events, [a_command("a-1"), a_command("a-2")], system.jet)
    await audited(system)
    assert [e.kind for e in events if e.kind.startswith("command.")] == []


async def test_a_state_that_kafka_would_delete_is_not_begun_with(
    system: System,
) -> None:
    await set_policy(system, "compact,delete")

    refused = await command(system, "run")

    said = f"topic {system.config.topics.state} has cleanup.policy=compact,delete"
    assert (refused.code, refused.error.count(said)) == (78, 1), refused.error

    await set_policy(system, "compact")
    await (await system.worker()).ready()
    await system.publish(a_command("kept"))
    judge(await system.terminal(1), [a_command("kept")], system.jet)
    await audited(system)


async def test_an_idle_group_has_no_lag_behind_a_publisher_with_transactions(
    system: System,
) -> None:
    worker = await (await system.worker()).ready()
    producer = AIOKafkaProducer(
        bootstrap_servers=system.kafka,
        transactional_id=f"{system.name}-publisher",
        transaction_timeout_ms=ENDLESS,
    )
    await producer.start()
    commands = [a_command(f"q-{n}") for n in range(4)]

    def is_hidden() -> bool:
        return said in worker.log.read_text()

    said = (
        "an open transaction hides commands from every reader:"
        " look at Kafka's PartitionsWithLateTransactionsCount"
    )
    try:
        for each in commands:
            async with producer.transaction():
                value, key = json.dumps(each).encode(), each["commandId"].encode()
                await producer.send(system.config.topics.commands, value, key)
                if each == commands[-1]:
                    await producer.flush()
                    await until(is_hidden, "a line about the transaction")
    finally:
        await producer.stop()
    events = await system.terminal(4)

    async def has_no_lag() -> bool:
        offsets = await offsets_of(system.config)
        ends = await ends_of(system)
        return all(offsets.get(number) == end for number, end in ends.items() if end)

    await until(has_no_lag, "a group that has read all there is")
    judge(events, commands, system.jet)
    assert worker.log.read_text().count(said) == 1

    async def says_so() -> bool:
        lines = (await worker.get("/metrics")).text.splitlines()
        lags = [each for each in lines if each.startswith("jetworker_commands_lag{")]
        return len(lags) == 4 and all(each.endswith(" 0.0") for each in lags)

    await until(says_so, "lags of 0")
    await audited(system)


async def test_a_restore_that_an_open_transaction_holds_up_is_told_with_what_to_look_at(
    system: System,
) -> None:
    """What is unwise of the topics is told at the start as well, each once."""
    topics = system.config.topics
    worker = await (await system.worker()).ready()
    await system.publish(a_command("h-1"))
    await system.terminal(1)
    await worker.stop()
    foreign = AIOKafkaProducer(
        bootstrap_servers=system.kafka,
        transactional_id=f"{system.name}-foreign",
        transaction_timeout_ms=ENDLESS,
    )
    await foreign.start()
    try:
        await foreign.begin_transaction()
        for number in range(system.partitions):
            await foreign.send(topics.state, b"{}", b" foreign", number)
        await foreign.flush()
        worker = await system.worker()
        said = "the end of a topic is not visible, an open transaction may hide it"
        await until(lambda: said in worker.log.read_text(), "a line about it")
        assert not await worker._is_ready()  # noqa: SLF001 -- it is asked once
        await foreign.abort_transaction()
    finally:
        await foreign.stop()
    await worker.ready()
    await system.publish(a_command("h-2"))

    judge(await system.terminal(2), [a_command("h-1"), a_command("h-2")], system.jet)
    lines = [json.loads(line) for line in worker.log.read_text().splitlines()]
    hidden = [each for each in lines if said in each["event"]]
    assert {each["topic"] for each in hidden} == {topics.state}
    assert all("PartitionsWithLateTransactionsCount" in e["event"] for e in hidden)
    unwise = [each["because"] for each in lines if "unwise" in each["event"]]
    assert len(unwise) == len(set(unwise)) > 0
    assert unwise[0].startswith("one broker alone has")
    await audited(system)


async def stand_beyond_the_end(system: System, by: int) -> dict[int, int]:
    """Say in the state and to the group that more was read than there is."""
    kafka = KafkaClients(system.config.kafka, system.config.topics)
    ends = await ends_of(system)
    for number, kept in (await last_kept(kafka, system.config.topics.state)).items():
        assert isinstance(kept, Position)
        beyond = replace(kept, offset=ends[number] + by)
        await put_back(kafka, number, (), beyond, instead_of=kept)
    return ends


async def ends_of(system: System) -> dict[int, int]:
    """Return the high watermarks of the commands topic."""
    consumer = AIOKafkaConsumer(bootstrap_servers=system.kafka)
    await consumer.start()
    try:
        topic = system.config.topics.commands
        every = [TopicPartition(topic, n) for n in range(system.partitions)]
        ends = await consumer.end_offsets(every)
    finally:
        await consumer.stop()
    return {each.partition: end for each, end in ends.items()}
