"""The rights that the README asks for are enough, and one that is missing loses nothing."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from jetworker.config.load import load
from jetworker.core.errors import KafkaUnavailable
from jetworker.kafka import topics as layout
from jetworker.sandbox.kafka import jars
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
from tests.support.kafka.tls import Door, certified
from tests.support.operating import audited, says
from tests.support.system import System, a_command
from tests.support.waiting import until

pytestmark = pytest.mark.integration


def rights(system: System, group: str | None = None) -> list[Right]:
    """Return those of the README's "Topics and rights", and no other."""
    topics = system.config.topics
    topic, read, write = Resource.TOPIC, Operation.READ, Operation.WRITE
    table = [Right(topic, topics.deliveries, write)] if topics.deliveries else []
    return [
        *table,
        Right(topic, topics.commands, read),
        Right(topic, topics.state, read),
        Right(topic, topics.state, write),
        Right(topic, topics.events, write),
        Right(topic, topics.dead_letters, write),
        Right(Resource.GROUP, group or system.name, read),
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
    table = {"JETWORKER_TOPICS__DELIVERIES": f"{made.name}.deliveries"}
    made.changes = table
    await made.create()
    made.changes = table | signing_in
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
    assert system.config.topics.deliveries
    assert {
        each.key.decode() for each in await system.read(system.config.topics.deliveries)
    } == {"r-1", "r-2", "r-3"}
    assert log.count("in the clear") == 1
    assert PASSWORD not in log


def to_the_group(system: System) -> list[Right]:
    return [Right(Resource.GROUP, system.name, Operation.READ)]


def to_the_state(system: System) -> list[Right]:
    """Commands may be read without it, but not taken."""
    state = system.config.topics.state
    return [Right(Resource.TOPIC, state, x) for x in (Operation.READ, Operation.WRITE)]


@pytest.mark.parametrize("withdrawn", [to_the_group, to_the_state])
async def test_a_right_that_comes_back_is_enough_to_go_on(
    guarded_system: System, withdrawn: Callable[[System], list[Right]]
) -> None:
    system = guarded_system
    await grant(system.kafka, rights(system))
    worker = await (await system.worker()).ready()
    await system.publish(a_command("w-1"))
    await system.terminal(1)

    for each in withdrawn(system):
        await withdraw(system.kafka, each)
    await system.publish(a_command("w-2"))

    async def is_not_ready() -> bool:
        return (await worker.get("/readyz")).status_code != 200

    await until(is_not_ready, "a worker that is not ready")
    await grant(system.kafka, withdrawn(system))
    events = await system.terminal(2)

    judge(events, [a_command("w-1"), a_command("w-2")], system.jet)
    await worker.ready()
    assert worker.process.returncode is None
    # An operator may read the events, which a worker need not.
    system.changes = {n: each for n, each in system.changes.items() if "TOPICS" in n}
    await audited(system)


# Each command is some 40 KiB to write, and its user is held to so many bytes a second.
_RATE = 40_000
_ROUNDS = 8


def _noise() -> str:
    """Return what no compression makes small."""
    return secrets.token_urlsafe(2900)


async def hold_to_quota(servers: str) -> None:
    """Let our user read and write so many bytes a second and no more."""
    quota = f"producer_byte_rate={_RATE},consumer_byte_rate={_RATE}"
    process = await asyncio.create_subprocess_exec(
        *(str(jars.java()), "-cp", jars.class_path(), "kafka.admin.ConfigCommand"),
        *("--bootstrap-server", servers, "--alter", "--add-config", quota),
        *("--entity-type", "users", "--entity-name", USER),
        stdout=asyncio.subprocess.DEVNULL,
    )
    assert await process.wait() == 0


@pytest.mark.nightly  # a broker and a JVM of its own, and slow on purpose
async def test_a_kafka_that_is_shared_is_used_by_tls_by_prefixes_and_within_a_quota(
    jet: JetServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tls, authority = certified(tmp_path, "localhost")
    quotas = {"quota_window_num": "2", "quota_window_size_seconds": "1"}
    async with Door() as door:
        broker, address = guarded(tls, f"localhost:{door.port}", **quotas)
        door.target = int(address.rpartition(":")[2])
        await asyncio.to_thread(broker.__enter__)
        system = System(broker.bootstrap_servers, jet, tmp_path, ROUTES)
        try:
            await system.create()
            await hold_to_quota(system.kafka)
            system.changes = {
                "JETWORKER_KAFKA__BOOTSTRAP_SERVERS": f"localhost:{door.port}",
                "JETWORKER_KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
                "JETWORKER_KAFKA__SSL_CA_LOCATION": str(authority),
                "JETWORKER_KAFKA__SASL_MECHANISM": "PLAIN",
                "JETWORKER_KAFKA__SASL_USERNAME": USER,
                "JETWORKER_KAFKA__SASL_PASSWORD": PASSWORD,
            }
            await _is_shared(system, door, caplog)
        finally:
            await system.close()
            await asyncio.to_thread(broker.__exit__, None, None, None)


async def _is_shared(
    system: System, door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    """Be served where only names that begin with ours are allowed, and slowly."""
    begin = {each: each.name.partition(system.name)[0] for each in rights(system)}
    of_prefixes = {
        replace(each, name=f"{before}{system.name}", pattern=Pattern.PREFIXED)
        for each, before in begin.items()
    }
    await grant(system.kafka, of_prefixes)
    by_address = f"127.0.0.1:{door.port}"
    elsewhere = load(
        system.environ | {"JETWORKER_KAFKA__BOOTSTRAP_SERVERS": by_address}
    )
    with pytest.raises(KafkaUnavailable, match="no broker answers"):
        await layout.layout(elsewhere)
    assert "certificate is not valid for '127.0.0.1'" in caplog.text
    door.hellos.clear()
    worker = await (await system.worker()).ready()
    large = [a_command(f"q-{n}", metadata={"x": _noise()}) for n in range(_ROUNDS)]
    began = asyncio.get_running_loop().time()

    await system.publish(*large)
    events = await system.terminal(_ROUNDS, seconds=120)

    judge(events, large, system.jet)
    took = asyncio.get_running_loop().time() - began
    topics = (system.config.topics.events, system.config.topics.state)
    written = [
        len(each.value or b"") for name in topics for each in await system.read(name)
    ]
    assert sum(written) / took < 2 * _RATE, "it was not held back at all"
    assert (await worker.get("/livez")).status_code == 200
    metrics = (await worker.get("/metrics")).text
    for outcome in ("aborted", "fenced"):
        assert f'kafka_transactions_total{{outcome="{outcome}"}} 0.0' in metrics
    assert all(b"localhost" in hello for hello in door.hellos)
    assert door.hellos


async def test_without_the_right_to_ask_for_the_owner_s_members_it_waits_and_names_it(
    guarded_system: System,
) -> None:
    """The owner signs in as somebody else: Read on a group would allow Describe, too."""
    system = guarded_system
    heir = f"{system.name}-renamed"
    await grant(system.kafka, rights(system, heir))
    signing_in = system.changes
    system.changes = {
        name: value for name, value in signing_in.items() if "TOPICS" in name
    }
    owner = await (await system.worker()).ready()
    system.changes = signing_in
    await system.publish(a_command("d-1"))
    await system.terminal(1)

    worker = await system.worker(JETWORKER_KAFKA__GROUP_ID=heir)
    await says(worker, f"allow Describe on group {system.name}")
    assert f"allow Describe on group {system.name}" in worker.log.read_text()
    asking = Right(Resource.GROUP, system.name, Operation.DESCRIBE)
    await grant(system.kafka, [asking])
    await says(worker, "which has members")
    await owner.stop()
    await worker.ready()
    await system.publish(a_command("d-2"))

    judge(await system.terminal(2), [a_command("d-1"), a_command("d-2")], system.jet)
