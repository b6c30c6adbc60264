"""`jetworker audit` on a live system: what it says, and how it ends."""

import json
import os
import subprocess
import sys

import pytest
from aiokafka import AIOKafkaProducer

from tests.support.system import System, a_command
from tests.support.waiting import until

pytestmark = pytest.mark.integration


def audit(
    system: System, *options: str, **changes: str
) -> "subprocess.CompletedProcess[str]":
    """Run the command as an operator does."""
    return subprocess.run(
        [sys.executable, "-m", "jetworker", "audit", "--seconds", "0", *options],
        env=system.environ | changes | {"HOME": os.environ.get("HOME", "/")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


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


async def test_an_audit_proves_a_sound_system_and_finds_what_was_forged(
    system: System,
) -> None:
    await (await system.worker()).ready()
    nothing = audit(system)
    commands = [a_command(f"c-{n}") for n in range(3)]
    await system.publish(*commands, commands[0], b"not a command")
    await system.terminal(3)

    async def answered() -> bool:
        answers = [e for e in await system.events() if e.kind.startswith("command.")]
        return len(answers) == 2

    await until(answered, "an answer to the duplicate and to the poison")
    sound = audit(system)
    elsewhere = audit(system, JETWORKER_KAFKA__GROUP_ID="another-group")
    without = audit(system, "--sandbox", "http://127.0.0.1:9")
    await forge(system, "c-1", 99)
    await forge(system, "nobody-s", 1)
    forged = audit(system)

    assert nothing.returncode == 1
    assert "shows nothing" in nothing.stdout
    assert sound.returncode == 0, sound.stdout + sound.stderr
    lines = sound.stdout.splitlines()
    assert all(line.startswith("ok") for line in lines), sound.stdout
    assert len(lines) == 10
    assert elsewhere.returncode == 1
    assert "every record of the commands topic is answered once" in (
        next(line for line in elsewhere.stdout.splitlines() if "shows nothing" in line)
    )
    assert without.returncode == 1
    assert "no ledger of a sandbox" in without.stderr
    assert forged.returncode == 1
    for broken in ("nothing after it: c-1", "in order: c-1", "a command: nobody-s"):
        assert broken in forged.stdout
    assert "Traceback" not in "".join(
        each.stderr for each in (nothing, sound, elsewhere, without, forged)
    )
