"""The demo's operator decides what is held: by what Jet has made of it, once each."""

import asyncio
import contextlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from jetworker.cli.demo.operator import decide_held
from jetworker.cli.demo.script import Script
from jetworker.sandbox.jet.server import Sandbox
from jetworker.wire.events import ReadEvent


def a_send(command_id: str) -> bytes:
    objects = [{"relativePath": f"/{command_id}.mov"}]
    return json.dumps({"commandId": command_id, "objects": objects}).encode()


def uncertain(command_id: str, code: str) -> ReadEvent:
    data = {"commandId": command_id, "reason": {"code": code}}
    return ReadEvent("delivery.uncertain", command_id, data, b"")


async def test_a_held_command_is_adopted_or_started_again_as_the_ledger_says() -> None:
    commands = [a_send(each) for each in ("made", "lost", "looked-up")]
    script = Script(Path(), Path(), commands, [], (), frozenset())
    made = SimpleNamespace(objects=["/made.mov"], deliveryId="d-1")
    ledger = SimpleNamespace(creations=[made])
    sandbox = cast("Sandbox", SimpleNamespace(ledger=ledger))
    events = [
        uncertain("made", "start_unknown"),
        uncertain("made", "held"),
        uncertain("lost", "held"),
        uncertain("looked-up", "start_unknown"),
    ]
    published: asyncio.Queue[list[dict[str, Any]]] = asyncio.Queue()

    async def publish(orders: list[bytes]) -> None:
        await published.put([json.loads(each) for each in orders])

    deciding = asyncio.create_task(decide_held(script, sandbox, events, publish))
    first, second = await published.get(), await published.get()
    deciding.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await deciding

    order = {"type": "resolve"}
    assert first == [
        order | {"commandId": "made", "action": "adopt", "deliveryId": "d-1"},
        order | {"commandId": "lost", "action": "resend"},
    ]
    assert second == []
