"""A route that stands still tells all that wait on it, and stops nobody else by it."""

import asyncio
from datetime import timedelta
from itertools import pairwise

from prometheus_client import CollectorRegistry

from jetworker.core.command import CommandId, RouteName
from jetworker.core.delivery import State
from jetworker.core.rate import Backoff
from jetworker.core.route import Route
from jetworker.jet.jobs import JobResolver
from jetworker.runtime.metrics import Metrics
from jetworker.worker.delivery_counts import DeliveryCounts
from jetworker.worker.handle import DeliveryHandle
from jetworker.worker.job_locks import JobLocks
from jetworker.worker.starts.dispatcher import RouteDispatcher
from jetworker.worker.starts.sender import StartSender
from tests.support.builders import JOB, SECOND, a_delivery
from tests.support.fakes import OneDelivery, Telling
from tests.support.jet import site as sandboxes
from tests.worker.test_restore import MOST, Slow

NAME = RouteName("archive")
NUMBER = 200
NOBODY = "http://127.0.0.1:1"


async def test_all_that_wait_are_told_why_a_slice_of_time_at_once() -> None:
    """Whoever beats a heart meanwhile waits no longer with thousands than with ten."""
    clock, metrics = Slow(), Metrics(CollectorRegistry())
    owners = [
        OneDelivery(a_delivery(State.ACCEPTED, command_id=CommandId(f"c-{n}")))
        for n in range(NUMBER)
    ]
    async with sandboxes.jet_client(NOBODY, "unused") as jet:
        resolver = JobResolver(jet, clock)
        dispatcher = RouteDispatcher(
            NAME,
            routes=lambda: {NAME: Route(NAME, job_id=JOB, paused=True)},
            resolver=resolver,
            locks=JobLocks(clock),
            files=Telling(),
            sender=StartSender(jet, resolver, clock, 2 * SECOND, 2 * SECOND),
            counts=DeliveryCounts(metrics),
            clock=clock,
            metrics=metrics,
            max_active=NUMBER,
            backoff=Backoff(timedelta(milliseconds=10), timedelta(milliseconds=50)),
        )
        for each in owners:
            dispatcher.put(DeliveryHandle(each, each.delivery.command_id))
        running, told = asyncio.create_task(dispatcher.run()), [0]
        while told[-1] < NUMBER:
            await asyncio.sleep(0)
            told.append(sum(bool(each.told) for each in owners))
        running.cancel()

    assert max(after - before for before, after in pairwise(told)) <= MOST
