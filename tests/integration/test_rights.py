"""The rights that the README asks for are enough, and one that is missing loses nothing."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.conftest import ROUTES
from tests.support.invariants import judge
from tests.support.jet.fake_server import JetServer
from tests.support.kafka.acls import (
    PASSWORD,
    USER,
    Operation,
    Pattern,
    Resource,
    Right,
    grant,
    guarded,
    withdraw,
)
from tests.support.system import System, a_command
from tests.support.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


def rights(system: System) -> list[Right]:
    """Return those of the README's "Topics and rights", and no other."""
    topics = system.config.topics
    topic, read, write = Resource.TOPIC, Operation.READ, Operation.WRITE
    return [
        Right(topic, topics.commands, read),
        Right(topic, topics.state, read),
        Right(topic, topics.state, write),
        Right(topic, topics.events, write),
        Right(topic, topics.dead_letters, write),
        Right(Resource.GROUP, system.name, read),
        Right(
            Resource.TRANSACTIONAL_ID,
            f"jetworker-{topics.state}-",
            write,
            Pattern.PREFIXED,
        ),
    ]


@pytest.fixture
async def guarded_system(jet: JetServer, tmp_path: Path) -> AsyncIterator[System]:
    """Return a system whose workers sign in and have no right yet."""
    broker, address = guarded()
    await asyncio.to_thread(broker.__enter__)
    signing_in = {
        "JETWORKER_KAFKA__BOOTSTRAP_SERVERS": address,
        "JETWORKER_KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "JETWORKER_KAFKA__SASL_MECHANISM": "PLAIN",
        "JETWORKER_KAFKA__SASL_USERNAME": USER,
        "JETWORKER_KAFKA__SASL_PASSWORD": PASSWORD,
    }
    made = System(broker.bootstrap_servers, jet, tmp_path, ROUTES)
    await made.create()
    made.changes = signing_in
    try:
        yield made
    finally:
        await made.close()
        await asyncio.to_thread(broker.__exit__, None, None, None)


async def test_the_rights_that_the_readme_asks_for_are_enough_and_needed(
    guarded_system: System,
) -> None:
    system = guarded_system
    await grant(system.kafka, rights(system))
    worker = await (await system.worker()).ready()
    first, second, third = a_command("r-1"), a_command("r-2"), a_command("r-3")
    await system.publish(first)
    await system.terminal(1)

    tell = Right(Resource.TOPIC, system.config.topics.events, Operation.WRITE)
    await withdraw(system.kafka, tell)
    await system.publish(second, third)

    async def is_not_ready() -> bool:
        return (await worker.get("/readyz")).status_code != 200

    await until(is_not_ready, "a worker that is not ready")
    assert worker.process.returncode is None
    assert system.jet.creations().keys() == {"/r-1.mov"}

    await grant(system.kafka, [tell])
    events = await system.terminal(3)

    judge(events, [first, second, third], system.jet)
    await worker.ready()
    log = worker.log.read_text()
    assert f"TopicAuthorizationFailedError: {tell.name}" in log
    assert log.count("in the clear") == 1
    assert PASSWORD not in log


async def test_a_right_to_the_group_that_comes_back_is_enough_to_go_on(
    guarded_system: System,
) -> None:
    system = guarded_system
    await grant(system.kafka, rights(system))
    worker = await (await system.worker()).ready()
    await system.publish(a_command("w-1"))
    await system.terminal(1)

    reading = Right(Resource.GROUP, system.name, Operation.READ)
    await withdraw(system.kafka, reading)

    async def is_not_ready() -> bool:
        return (await worker.get("/readyz")).status_code != 200

    await until(is_not_ready, "a worker that is not ready")
    await grant(system.kafka, [reading])
    await system.publish(a_command("w-2"))
    events = await system.terminal(2)

    judge(events, [a_command("w-1"), a_command("w-2")], system.jet)
    await worker.ready()
    assert worker.process.returncode is None
