"""
How many calls to Jet a fleet makes a second: by arithmetic, and as its followers make them.

The arithmetic is what a fleet of any size is planned with. It is checked in virtual time
against the followers of twenty workers with 20,000 deliveries among them: the real ones,
over a Jet that counts.
"""

import asyncio
import random
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from typing import Any, cast

from prometheus_client import CollectorRegistry
from typing_extensions import override

from jetworker.core.command import CommandId, DeliveryId, JobId, TransferId
from jetworker.core.delivery import Delivery, State
from jetworker.core.observation import JetDelivery, JetTransfer
from jetworker.core.polling import Pace
from jetworker.core.trigger import Trigger
from jetworker.jet.client import JetClient
from jetworker.runtime.clock import Clock
from jetworker.runtime.metrics import Metrics
from jetworker.runtime.watchdog import Watchdog
from jetworker.worker.following.follower import Follower
from jetworker.worker.following.poll import Commands, StatusPoll
from jetworker.worker.handle import DeliveryHandle
from tests.simulation.loop import run
from tests.support.builders import NOW, a_delivery, a_progress
from tests.support.fakes import OneDelivery

UNHEARD = 10  # polls after which one that only listings told of is asked for itself


@dataclass(frozen=True, slots=True)
class Fleet:
    """
    So many deliveries open at all times, each for *seconds*, over so many jobs.

    *poll* are the seconds between two looks, the staleness; *page* is how many
    transfers Jet shows in one answer.
    """

    workers: int = 20
    jobs: int = 20
    open: int = 20_000
    seconds: float = 600.0
    poll: float = 60.0
    page: int = 1_000_000

    def listings(self) -> float:
        """
        Return the calls a second of listings.

        Every worker has deliveries on every job and lists it once a poll, a little
        sooner: polls are spread over the last tenth of one.
        """
        pages = -(-self.open // (self.jobs * self.page))
        return self.workers * self.jobs * pages / (0.92 * self.poll)

    def questions(self) -> float:
        """
        Return the calls a second about single deliveries.

        At its end each is asked for, and its transfer; so is one that only listings
        have told of for ten polls, whenever its turn comes after that.
        """
        unheard = self.seconds // ((UNHEARD + 0.5) * self.poll)
        return 2 * (1 + unheard) * self.open / self.seconds

    def calls(self) -> float:
        """Return all calls a second; each delivery is also started once."""
        return self.listings() + self.questions() + self.open / self.seconds


class _VirtualClock(Clock):
    @override
    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.monotonic())


class _Jet:
    """Shows deliveries that end when their time is over, and counts who asks."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self._ends: dict[DeliveryId, float] = {}
        self._of: defaultdict[JobId, dict[DeliveryId, JetTransfer]]
        self._of = defaultdict(dict)

    def make(self, job_id: JobId, delivery_id: DeliveryId, end: float) -> None:
        """Let a delivery run until *end*."""
        name = TransferId(f"t-{delivery_id}")
        self._ends[delivery_id] = end
        self._of[job_id][delivery_id] = JetTransfer(name, "IN_PROGRESS", delivery_id)

    def may_list_transfers(self) -> bool:
        return True

    async def list_transfers(self, job_id: JobId, **_: Any) -> tuple[JetTransfer, ...]:
        self.asked["listings"] += 1
        now = asyncio.get_running_loop().time()
        running = self._of[job_id]
        for each in [x for x in running if self._ends[x] <= now]:
            del running[each]
        return tuple(running.values())

    async def get_delivery(
        self, _job_id: JobId, delivery_id: DeliveryId, **_: Any
    ) -> JetDelivery:
        self.asked["questions"] += 1
        now = asyncio.get_running_loop().time()
        state = "COMPLETED" if self._ends[delivery_id] <= now else "IN_PROGRESS"
        names = (TransferId(f"t-{delivery_id}"),)
        return JetDelivery(delivery_id, state, NOW, transfer_ids=names, asked_at=now)

    async def get_transfer(
        self, _job_id: JobId, transfer_id: TransferId, **_: Any
    ) -> JetTransfer:
        self.asked["questions"] += 1
        now = asyncio.get_running_loop().time()
        delivery_id = DeliveryId(transfer_id.removeprefix("t-"))
        state = "COMPLETED" if self._ends[delivery_id] <= now else "IN_PROGRESS"
        return JetTransfer(
            transfer_id, state, delivery_id, progress=a_progress(), asked_at=now
        )


class _Owner(OneDelivery):
    """Puts another delivery in the place of one that has ended."""

    def __init__(self, delivery: Delivery, worker: "_Worker") -> None:
        super().__init__(delivery)
        self._worker = worker

    @override
    def apply(self, command_id: CommandId, trigger: Trigger) -> "asyncio.Future[None]":
        was_over = self.delivery.state.is_final
        durable = super().apply(command_id, trigger)
        self.told.clear()
        if self.delivery.state.is_final and not was_over:
            self._worker.begin(self._worker.fleet.seconds)
        return durable


class _Worker:
    """The follower of one worker."""

    def __init__(self, fleet: Fleet, jet: _Jet, numbers: "count[int]") -> None:
        clock, metrics = _VirtualClock(), Metrics(CollectorRegistry())
        poll = timedelta(seconds=fleet.poll)
        self.fleet, self._jet, self._numbers = fleet, jet, numbers
        self.follower = Follower(
            StatusPoll(cast("JetClient", jet), cast("Commands", None), clock, metrics),
            Pace(poll, poll),
            poll,
            clock,
            Watchdog(clock, metrics),
            metrics,
        )

    def begin(self, seconds: float) -> None:
        """Follow one more delivery, for so long."""
        number = next(self._numbers)
        job_id = JobId(f"job-{number % self.fleet.jobs}")
        delivery_id = DeliveryId(f"d-{number}")
        now = asyncio.get_running_loop().time()
        self._jet.make(job_id, delivery_id, now + seconds)
        delivery = a_delivery(
            State.STARTED,
            command_id=CommandId(f"c-{number}"),
            job_id=job_id,
            delivery_id=delivery_id,
        )
        owner = _Owner(delivery, self)
        self.follower.take(DeliveryHandle(owner, delivery.command_id))


def made(fleet: Fleet, seed: int = 0) -> Counter[str]:
    """Return the calls that the followers of a fleet make while one delivery lasts."""
    luck = random.Random(seed)
    found: Counter[str] = Counter()

    async def main() -> None:
        jet, numbers = _Jet(), count()
        workers = [_Worker(fleet, jet, numbers) for _ in range(fleet.workers)]
        for worker in workers:
            for _ in range(fleet.open // fleet.workers):
                worker.begin(luck.uniform(1.0, fleet.seconds))
        running = [asyncio.create_task(each.follower.run()) for each in workers]
        await asyncio.sleep(fleet.seconds / 2)  # until the beginning is forgotten
        jet.asked.clear()
        await asyncio.sleep(fleet.seconds)
        found.update(jet.asked)
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    run(main)
    return found


_MILLION = 1_000_000
_HOUR = 3600.0


def main() -> None:
    """Print both for twenty workers, and the arithmetic for a million deliveries."""
    fleet = Fleet()
    found = made(fleet)
    listings, questions = (found[x] / fleet.seconds for x in ("listings", "questions"))
    sys.stdout.write(
        f"{fleet}\n"
        f"listings a second: {fleet.listings():.1f} by arithmetic, {listings:.1f} made\n"
        f"questions a second: {fleet.questions():.1f} by arithmetic, {questions:.1f} made\n"
    )
    for hours in (1, 24):
        for poll in (60.0, 300.0, 900.0):
            large = Fleet(24, 200, _MILLION, hours * _HOUR, poll)
            sys.stdout.write(
                f"a million open for {hours} h each, looked at every {poll:.0f} s:"
                f" {large.calls():.0f} calls a second,"
                f" {large.listings():.0f} of them listings\n"
            )


if __name__ == "__main__":
    main()
