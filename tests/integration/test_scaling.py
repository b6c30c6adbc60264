"""
Workers come and go under load: nothing is uncertain, and nobody waits for a session.

A session here ends later than any of these tests: whoever left without a word would be
waited for in vain.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import pytest

from tests.support.invariants import judge
from tests.support.operating import audited, grow_topics
from tests.support.system import System, WorkerProcess, a_command
from tests.support.waiting import until

pytestmark = pytest.mark.integration
ROUTES = ("archive", "by-name", "by-profiles")
ENDLESS = {"JETWORKER_KAFKA__SESSION_TIMEOUT": "20m"}


@asynccontextmanager
async def load(system: System) -> AsyncIterator[list[dict[str, Any]]]:
    """
    Publish four commands every fifth of a second; yields what was published.

    Not while forty wait for their starts: a slower machine is given less to do.
    """
    commands: list[dict[str, Any]] = []
    enough = asyncio.Event()

    async def publish() -> None:
        while not enough.is_set():
            fresh = [
                a_command(f"n-{len(commands) + n}", ROUTES[n % 3]) for n in range(4)
            ]
            await system.publish(*fresh)
            commands.extend(fresh)
            await asyncio.sleep(0.2)  # that is how much the load is
            await until(
                lambda: len(system.jet.creations()) > len(commands) - 40, "starts"
            )

    publishing = asyncio.create_task(publish())
    try:
        yield commands
    finally:
        enough.set()
        await publishing


async def started(system: System, commands: list[dict[str, Any]]) -> None:
    """Wait until something that is published from now on has been started."""
    wanted = f"/n-{len(commands) + 8}.mov"
    await until(lambda: wanted in system.jet.creations(), f"the start of {wanted}")


async def test_a_rolling_restart_leaves_no_uncertain_start(system: System) -> None:
    system.changes = ENDLESS
    workers = [await (await system.worker()).ready() for _ in range(3)]
    codes = []
    async with load(system) as commands:
        for old in workers:
            await started(system, commands)
            codes.append(await old.stop())
            await (await system.worker()).ready()
        await started(system, commands)
    events = await system.terminal(len(commands))

    judge(events, commands, system.jet)
    assert codes == [0, 0, 0]
    assert "delivery.uncertain" not in {event.kind for event in events}


async def test_scaling_out_and_in_stops_the_work_only_shortly(system: System) -> None:
    system.changes = ENDLESS
    workers: list[WorkerProcess] = [await (await system.worker()).ready()]
    async with load(system) as commands:
        await started(system, commands)
        workers += [await system.worker() for _ in range(3)]
        for worker in workers:
            await worker.ready()
        await started(system, commands)
        codes = [await worker.stop() for worker in workers[:2]]
        await started(system, commands)
    events = await system.terminal(len(commands))

    judge(events, commands, system.jet)
    assert codes == [0, 0]
    assert "delivery.uncertain" not in {event.kind for event in events}


async def test_new_partitions_wait_until_the_state_topic_has_grown_too(
    system: System,
) -> None:
    worker = await (await system.worker()).ready()
    topics = system.config.topics
    await grow_topics(system, system.partitions + 1, topics.commands)
    await until(
        lambda: f"{topics.state} has no partition 4" in worker.log.read_text(),
        "a line that says what to do",
    )
    commands = [a_command(f"g-{n}") for n in range(20)]

    await system.publish(*commands)
    waiting = {
        json.loads(record.value)["commandId"]
        for record in await system.read(topics.commands)
        if record.partition == system.partitions
    }
    before = await system.terminal(20 - len(waiting))
    metrics = (await worker.get("/metrics")).text
    await grow_topics(system, system.partitions + 1, topics.state)
    events = await system.terminal(20)

    judge(events, commands, system.jet)
    assert waiting
    assert not waiting & {event.key for event in before}
    assert "jetworker_partitions_assigned 5.0" in metrics
    assert "jetworker_partitions_restored 4.0" in metrics
    assert 'jetworker_kafka_transactions_total{outcome="fenced"} 0.0' in metrics


async def test_events_stay_on_their_partition_when_their_topic_has_grown(
    system: System,
) -> None:
    system.jet.seconds = 3600
    before = [a_command(f"e-{n}") for n in range(12)]
    worker = await (await system.worker()).ready()
    await system.publish(*before)
    await until(lambda: len(system.jet.deliveries) == 12, "twelve deliveries")

    await grow_topics(system, 2 * system.partitions + 1, system.config.topics.events)
    await worker.stop()
    await (await system.worker()).ready()
    system.jet.seconds = 0.3
    for started in system.jet.deliveries.values():
        started.seconds = 0
    after = [a_command(f"f-{n}") for n in range(12)]
    await system.publish(*after)
    judge(await system.terminal(24), before + after, system.jet)

    places: dict[str, set[int]] = {}
    for record in await system.read(system.config.topics.events):
        places.setdefault(record.key.decode(), set()).add(record.partition)
    assert {len(each) for each in places.values()} == {1}
    old = {number for each in before for number in places[each["commandId"]]}
    new = {number for each in after for number in places[each["commandId"]]}
    assert max(old) < system.partitions <= max(new)
    await audited(system)


async def test_two_workers_with_one_instance_id_say_so(system: System) -> None:
    one, began = {"JETWORKER_KAFKA__GROUP_INSTANCE_ID": "worker-0"}, monotonic()
    workers = [await (await system.worker(**one)).ready(), await system.worker(**one)]
    commands = [a_command(f"i-{n}") for n in range(4)]
    await system.publish(*commands)

    def told() -> list[int]:
        said = "another worker has the same kafka.group_instance_id"
        return [each.log.read_text().count(said) for each in workers]

    await until(lambda: any(told()), "a line that says so")
    await workers[1].stop()
    minutes = 1 + (monotonic() - began) / 60
    assert max(told()) <= minutes, "each says so once a minute at the most"
    judge(await system.terminal(4), commands, system.jet)
