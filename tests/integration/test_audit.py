"""`jetworker audit` on a live system: what it says, and how it ends."""

import json
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from jetworker.cli import audit as auditing
from jetworker.cli.explain import explain
from jetworker.cli.listing import Selection, list_commands
from tests.support.operating import Done, command, cut
from tests.support.system import System, a_command
from tests.support.waiting import until

pytestmark = pytest.mark.integration


async def audit(system: System, *options: str, **changes: str) -> Done:
    """Run the command as an operator does."""
    return await command(system, "audit", "--seconds", "0", *options, **changes)


async def forge(system: System, command_id: str, sequence: int) -> None:
    """Publish an event that no worker would."""
    data = {"commandId": command_id, "sequence": sequence, "deliveryId": None}
    headers = {
        "ce_type": "io.jetworker.delivery.progressed",
        "ce_subject": command_id,
        "ce_time": "2026-11-24T00:00:00Z",
    }
    producer = AIOKafkaProducer(bootstrap_servers=system.kafka)
    await producer.start()
    try:
        await producer.send_and_wait(
            system.config.topics.events,
            json.dumps(data).encode(),
            command_id.encode(),
            headers=[(name, value.encode()) for name, value in headers.items()],
        )
    finally:
        await producer.stop()


async def hide(system: System, command_id: str) -> None:
    """Write a snapshot of another version, as a newer worker does before a rollback."""
    topic = system.config.topics.state
    records = [each for each in await system.read(topic) if each.key]
    (where,) = {each.partition for each in records if each.key == command_id.encode()}
    async with AIOKafkaProducer(bootstrap_servers=system.kafka) as producer:
        value = b'{"v":9,"open":{}}'
        await producer.send_and_wait(topic, value, command_id.encode(), where)


async def looked_at_in_process(
    system: System, capsys: pytest.CaptureFixture[str]
) -> dict[str, tuple[int, Any]]:
    """Return what each command ends with and tells, which goes over all of the state."""
    config, everything = system.config, Selection()
    told: dict[str, tuple[int, Any]] = {}
    capsys.readouterr()
    code = await auditing.audit(config, 0, as_json=True)
    found = json.loads(capsys.readouterr().out)
    told["audit"] = code, (found["violations"], found["unreadable"])
    code = await list_commands(config, everything, None, as_json=True)
    out, err = capsys.readouterr()
    rows = [json.loads(line) for line in out.splitlines()]
    told["list"] = code, sorted(each["commandId"] for each in rows)
    assert err.count("the state of c-2 cannot be read by this version") == 1
    for name in ("c-1", "c-2"):
        code = await explain(config, name, as_json=True)
        one = json.loads(capsys.readouterr().out)
        told[f"explain {name}"] = code, one["delivery"] and one["delivery"]["state"]
        is_hidden = "use the one that wrote it" in one["next"]
        assert is_hidden is (name == "c-2")
    return told


async def test_an_audit_proves_a_sound_system_and_finds_what_was_forged(
    system: System, capsys: pytest.CaptureFixture[str]
) -> None:
    await (await system.worker()).ready()
    nothing = await audit(system)
    commands = [a_command(f"c-{n}") for n in range(3)]
    await system.publish(*commands, commands[0], b"not a command")
    await system.terminal(3)

    async def answered() -> bool:
        answers = [e for e in await system.events() if e.kind.startswith("command.")]
        return len(answers) == 2

    await until(answered, "an answer to the duplicate and to the poison")
    sound = await audit(system)
    elsewhere = await audit(system, JETWORKER_KAFKA__GROUP_ID="another-group")
    without = await audit(system, "--sandbox", "http://127.0.0.1:9")
    await hide(system, "c-2")
    hidden = await looked_at_in_process(system, capsys)
    await forge(system, "c-1", 99)
    await forge(system, "nobody-s", 1)
    forged = await audit(system)

    assert nothing.code == 1
    assert "shows nothing" in nothing.output
    assert sound.code == 0, sound.output + sound.error
    lines = sound.output.splitlines()
    assert all(line.startswith("ok") for line in lines), sound.output
    assert len(lines) == 10
    assert elsewhere.code == 1
    assert "every record of the commands topic is answered once" in (
        next(line for line in elsewhere.output.splitlines() if "shows nothing" in line)
    )
    assert without.code == 1
    assert "no ledger of a sandbox" in without.error
    assert hidden == {
        "audit": (1, ([], ["c-2"])),
        "list": (1, ["c-0", "c-1"]),
        "explain c-1": (0, "completed"),
        "explain c-2": (1, None),
    }
    assert forged.code == 1
    for broken in ("nothing after it: c-1", "in order: c-1", "a command: nobody-s"):
        assert broken in forged.output
    assert "Traceback" not in "".join(
        each.error for each in (nothing, sound, elsewhere, without, forged)
    )


async def test_an_audit_misses_nothing_that_retention_took_of_what_was_told(
    system: System, capsys: pytest.CaptureFixture[str]
) -> None:
    """Kafka keeps a week unless told otherwise: that violates no guarantee."""
    await (await system.worker()).ready()
    old, new = ([f"{each}-{number}" for number in range(8)] for each in "ab")
    await system.publish(*map(a_command, old), a_command("x", "nowhere"))
    await system.terminal(len(old))
    told = await system.read(system.config.topics.events)
    ends = {each.partition: each.offset for each in told}

    await cut(system, {each: ends[each] // 2 for each in ends}, told[0].topic)
    await system.publish(*map(a_command, new))
    await system.terminal(len(old + new))

    assert await auditing.audit(system.config, 0.0) == 0, capsys.readouterr().out
