"""The demo's operator: decides what is held, as a person at Jet's console would."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from jetworker.cli.demo.script import Script
from jetworker.core.delivery import ReasonCode
from jetworker.sandbox.jet.server import Sandbox
from jetworker.wire.events import ReadEvent

_EVERY = 0.5  # seconds


async def decide_held(
    script: Script,
    sandbox: Sandbox,
    events: list[ReadEvent],
    publish: Callable[[list[bytes]], Awaitable[None]],
) -> None:
    """
    Order what becomes of each command that is held, for ever.

    The start of the worker that was killed is unknown, and where Jet was asked too late,
    or too little was there to compare it with, it is held; that is no loss.
    """
    objects = {
        body["commandId"]: [each["relativePath"] for each in body["objects"]]
        for body in map(json.loads, script.commands)
    }
    looked_at = 0
    while True:
        new, looked_at = events[looked_at:], len(events)
        held = [each.command_id for each in new if _is_held(each)]
        await publish([_order(name, objects[name], sandbox) for name in held if name])
        await asyncio.sleep(_EVERY)


def _is_held(event: ReadEvent) -> bool:
    reason: dict[str, Any] = event.data.get("reason") or {}
    return event.kind == "delivery.uncertain" and reason["code"] == ReasonCode.HELD


def _order(command_id: str, objects: list[str], sandbox: Sandbox) -> bytes:
    """Adopt the delivery that Jet has made of it, or let it be started again."""
    order = {"commandId": command_id, "type": "resolve", "action": "resend"}
    for made in sandbox.ledger.creations:
        if sorted(made.objects) == sorted(objects):
            order |= {"action": "adopt", "deliveryId": made.deliveryId}
    return json.dumps(order).encode()
