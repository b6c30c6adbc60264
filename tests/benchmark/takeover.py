"""How long it takes to take 100,000 snapshots up, and for how long nobody else has a turn."""

import asyncio
import sys
import time
from collections.abc import Callable
from dataclasses import replace

from jetworker.core.command import CommandId, DeliveryId, ObjectSpec
from jetworker.core.delivery import Delivery, Intent, State, Terms
from jetworker.core.lifecycle import transition
from jetworker.core.transitions import Policy
from jetworker.core.trigger import Begun
from jetworker.runtime.clock import Clock
from jetworker.wire import commands, jet, objects, snapshots
from tests.support.builders import JOB, NOW, a_delivery, a_progress
from tests.support.life import Life

_NUMBER = 100_000
_FRAMES = 9000
_MILLISECOND = 0.001


async def tell() -> None:
    """Print the figures; they are this machine's, and judged by nobody."""
    running = a_delivery(
        State.IN_PROGRESS, objects=(), progress=a_progress(), told_on=0, read_at=(0, 1)
    )
    await _tell_of("of deliveries that run", running)
    await _tell_of("of commands that wait", a_delivery(State.ACCEPTED, told_on=0))
    _tell_of_frames()


async def _tell_of(what: str, pattern: Delivery) -> None:
    restored = Life(clock=Clock())
    latest = {}
    for n in range(_NUMBER):
        ids = CommandId(f"command-{n:08}"), DeliveryId(f"delivery-{n:08}")
        delivery = replace(pattern, command_id=ids[0], delivery_id=ids[1])
        latest[ids[0].encode()] = snapshots.encode(delivery)
    longest = [0.0]

    async def beat() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(_MILLISECOND)
            longest[0] = max(longest[0], time.perf_counter() - began - _MILLISECOND)

    heart = asyncio.create_task(beat())
    began, cpu = time.perf_counter(), time.process_time()
    await restored.partition.restore(latest)
    up = time.process_time() - cpu
    await restored.partition.resume()
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    heart.cancel()
    sys.stdout.write(
        f"{_NUMBER} snapshots {what}: taken up in {up:.2f} s of CPU, gone on with in"
        f" {cpu - up:.2f} s, {took:.2f} s in all; the loop's longest stretch"
        f" {1000 * longest[0]:.0f} ms\n"
    )


def _tell_of_frames() -> None:
    """Print what our own code does about one command of 9,000 files, step by step."""
    paths = [f"/show/frame.{n:07}.dpx" for n in range(_FRAMES)]
    value = commands.encode(
        {
            "commandId": "c-1",
            "route": "r",
            "objects": [{"relativePath": each, "sizeInBytes": 1000} for each in paths],
        }
    )
    specs = tuple(ObjectSpec(each, 1000) for each in paths)
    waiting = a_delivery(State.ACCEPTED, objects=specs)
    bare, packed, size = objects.pack(waiting)
    assert packed is not None
    begun = Begun(Intent(JOB, NOW, jet_time=NOW, hi=NOW), Terms())
    steps: dict[str, Callable[[], object]] = {
        "read": lambda: commands.decode(value, (), max_objects=10_000),
        "written": lambda: snapshots.encode(waiting),
        "packed": lambda: objects.pack(waiting),
        "unpacked": lambda: objects.unpack(bare, packed),
        "begun": lambda: transition(waiting, begun, NOW, Policy()),
        "asked for": lambda: jet.start_body(specs),
    }
    took = {name: min(_once(step) for _ in range(5)) for name, step in steps.items()}
    shown = ", ".join(f"{name} {1000 * seconds:.1f}" for name, seconds in took.items())
    whole = sum(took.values()) + took["written"]  # when it comes, and when it begins
    sys.stdout.write(
        f"a command of {_FRAMES} files, ms of CPU: {shown}; {1000 * whole:.1f} in all"
        f" (written twice), beside the Kafka and HTTP clients; {size / 1024:.0f} KiB"
        " while it waits\n"
    )


def _once(step: Callable[[], object]) -> float:
    began = time.process_time()
    step()
    return time.process_time() - began
