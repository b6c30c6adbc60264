"""The objects of what waits are held packed and counted, and whole when it begins."""

import asyncio

from jetworker.core.command import ObjectSpec
from jetworker.core.delivery import Intent, State, Terms
from jetworker.core.trigger import Begun, CancelOrdered
from jetworker.wire import snapshots
from tests.support.builders import JOB, NOW, a_delivery
from tests.support.life import Life

FRAMES = tuple(ObjectSpec(f"/show/frame.{n:07d}.dpx", 1000) for n in range(1000))
WAITING = a_delivery(State.WAITING, objects=FRAMES, attempt=0, intent=None)


async def one_that_waits() -> Life:
    """Take up a partition in which one command of many objects waits."""
    life = Life()
    key = WAITING.command_id.encode()
    await life.partition.restore({key: snapshots.encode(WAITING)})
    return life


async def test_one_that_waits_is_held_without_its_objects_and_begins_with_them() -> (
    None
):
    life = await one_that_waits()
    held, size = life.partition.find(WAITING.command_id), life.counts.waiting_bytes

    intent = Intent(JOB, NOW, jet_time=NOW, hi=NOW)
    await life.partition.apply(WAITING.command_id, Begun(intent, Terms()))

    begun = life.partition.find(WAITING.command_id)
    assert held is not None
    assert (held.objects, 0 < size < 20_000) == ((), True)
    assert begun is not None
    assert (begun.objects, life.counts.waiting_bytes) == (FRAMES, 0)
    assert life.snapshots == [begun]


async def test_one_that_is_cancelled_or_whose_partition_goes_counts_no_more() -> None:
    cancelled, gone = await one_that_waits(), await one_that_waits()

    await cancelled.partition.apply(WAITING.command_id, CancelOrdered())
    gone.partition.end()
    gone.partition.end()

    assert (cancelled.counts.waiting_bytes, gone.counts.waiting_bytes) == (0, 0)
    await asyncio.sleep(0)  # what was performed after the step
