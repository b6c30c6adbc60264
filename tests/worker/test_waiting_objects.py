"""The objects of what waits are held packed and counted, and whole when it begins."""

import asyncio
from datetime import timedelta
from typing import cast

from prometheus_client import CollectorRegistry

from jetworker.core.command import ObjectSpec
from jetworker.core.delivery import Intent, State, Terms
from jetworker.core.transitions import Policy
from jetworker.core.trigger import Begun, CancelOrdered
from jetworker.kafka.state_store import StateStore
from jetworker.runtime.metrics import Metrics
from jetworker.wire import snapshots
from jetworker.wire.answers import Answers
from jetworker.wire.events import Envelope
from jetworker.worker.deliveries import Deliveries, PartitionOptions, Services
from jetworker.worker.delivery_counts import DeliveryCounts
from tests.support.builders import JOB, NOW, a_delivery
from tests.support.fakes import HandClock, Performer, Written

FRAMES = tuple(ObjectSpec(f"/show/frame.{n:07d}.dpx", 1000) for n in range(1000))
WAITING = a_delivery(State.WAITING, objects=FRAMES, attempt=0, intent=None)


async def a_partition() -> tuple[Deliveries, DeliveryCounts, Written]:
    """A partition in which one command of many objects waits."""
    performer, store = Performer(), Written()
    metrics = Metrics(CollectorRegistry())
    counts = DeliveryCounts(metrics)
    envelope = Envelope("jet.events", "/jetworker/g")
    options = PartitionOptions(
        policy=Policy(),
        envelope=envelope,
        answers=Answers(envelope, "jet.dead-letters"),
        state_topic="jet.state",
        max_objects=1000,
        max_waiting_bytes=1 << 20,
        lease=timedelta(seconds=30),
        dedupe_window=timedelta(days=7),
        routes=dict,
    )
    services = Services(
        starter=performer,
        follower=performer,
        reconciler=performer,
        noted=performer.touch,
        counts=counts,
        metrics=metrics,
        clock=HandClock(),
    )
    partition = Deliveries(0, cast(StateStore, store), options, services)
    key = WAITING.command_id.encode()
    await partition.restore({key: snapshots.encode(WAITING)})
    return partition, counts, store


async def test_one_that_waits_is_held_without_its_objects_and_begins_with_them() -> (
    None
):
    partition, counts, store = await a_partition()
    held, size = partition.find(WAITING.command_id), counts.waiting_bytes

    intent = Intent(JOB, NOW, jet_time=NOW, hi=NOW)
    await partition.apply(WAITING.command_id, Begun(intent, Terms()))

    begun = partition.find(WAITING.command_id)
    assert held is not None
    assert (held.objects, 0 < size < 20_000) == ((), True)
    assert begun is not None
    assert (begun.objects, counts.waiting_bytes) == (FRAMES, 0)
    (snapshot,) = [r for w in store.writes for r in w.records if r.partition == 0]
    assert snapshot.value is not None
    assert snapshots.decode(snapshot.value) == begun


async def test_one_that_is_cancelled_or_whose_partition_goes_counts_no_more() -> None:
    cancelled, cancelled_counts, _ = await a_partition()
    gone, gone_counts, _ = await a_partition()

    await cancelled.apply(WAITING.command_id, CancelOrdered())
    gone.end()
    gone.end()

    assert (cancelled_counts.waiting_bytes, gone_counts.waiting_bytes) == (0, 0)
    await asyncio.sleep(0)  # what was performed after the step
