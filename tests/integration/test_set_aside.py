"""A defect of ours in a real worker: what it meets is set aside, and all others go on."""

import json
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from tests.support.invariants import judge
from tests.support.system import Event, System, a_command
from tests.support.waiting import until

pytestmark = pytest.mark.integration

SECRET = "/show/unreleased.mov"
GARBAGE = b'{"v":99,"open":"of a newer version"}'

# Python imports a module of this name, if there is one, before the program.
PLANTED = f"""
from jetworker.wire import commands
from jetworker.worker.following.poll import StatusPoll

decode, ask = commands.decode, StatusPoll.ask


def failing_decode(value, *rest, **named):
    if b"i-decode" in value:
        raise RuntimeError("{SECRET}")
    return decode(value, *rest, **named)


async def failing_ask(self, followed, delivery):
    if delivery.command_id == "i-poll":
        raise RuntimeError("{SECRET}")
    return await ask(self, followed, delivery)


commands.decode, StatusPoll.ask = failing_decode, failing_ask
"""


async def leave(system: System, key: bytes, value: bytes) -> None:
    """Write a snapshot that no version of ours reads, wherever its command may arrive."""
    producer = AIOKafkaProducer(bootstrap_servers=system.kafka)
    await producer.start()
    try:
        for number in range(system.partitions):
            topic = system.config.topics.state
            await producer.send_and_wait(topic, value, key, partition=number)
    finally:
        await producer.stop()


def reasons(events: list[Event]) -> dict[str | None, str]:
    """Return why each was rejected or held, by its key."""
    return {e.key: e.data["reason"]["code"] for e in events if e.data.get("reason")}


async def test_what_a_worker_fails_on_is_set_aside_and_its_successor_goes_on(
    system: System, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(PLANTED)
    others = [a_command(f"i-{number}") for number in range(5)]
    bad = [a_command(name) for name in ("i-decode", "i-poll", "i-kept")]
    await leave(system, b"i-kept", GARBAGE)
    failing = await (await system.worker(PYTHONPATH=str(tmp_path))).ready()
    await system.publish(*others[:2], *bad, *others[2:])
    await system.terminal(len(others))

    async def are_set_aside() -> bool:
        return len(reasons(await system.events())) == len(bad)

    await until(are_set_aside, "all that it fails on set aside")
    failing.kill()
    await (await system.worker()).ready()
    events = await system.events()
    (started,) = [
        e for e in events if (e.key, e.kind) == ("i-poll", "delivery.started")
    ]
    adopt = {"commandId": "i-poll", "type": "resolve", "action": "adopt"}
    await system.publish(
        adopt | {"deliveryId": started.data["deliveryId"]}, a_command("i-after")
    )
    events = await system.terminal(len(others) + 2)

    judge(events, [*others, a_command("i-after"), bad[1]], system.jet)
    internal = "internal_error"
    assert reasons(events) == {
        "i-decode": internal,
        "i-poll": "held",
        "i-kept": internal,
    }
    letters = await system.read(system.config.topics.dead_letters)
    assert {each.value for each in letters} == {
        json.dumps(each).encode() for each in (bad[0], bad[2])
    }
    state = await system.read(system.config.topics.state)
    assert {each.value for each in state if each.key == b"i-kept"} == {GARBAGE}
    log = failing.log.read_text()
    assert log.count('"level":"error"') >= len(bad)
    assert SECRET not in log
