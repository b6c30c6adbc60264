"""What the whole state topic says about a job: which deliveries are whose, what is open."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from jetworker.core.command import CommandId, DeliveryId, JobId
from jetworker.core.delivery import Delivery, State
from jetworker.core.errors import StoreError
from jetworker.core.open_intent import OpenIntent, open_intent
from jetworker.core.witness import Bound
from jetworker.kafka.clients import KafkaClients
from jetworker.kafka.reader import HIGH_WATERMARKS, keep, read
from jetworker.wire import snapshots
from jetworker.worker.reconciliation.single_flight import SingleFlight

_OPEN = frozenset({State.STARTING, State.UNCERTAIN, State.HELD})
_SLICE = 500


@dataclass(slots=True)
class JobBindings:
    """
    The deliveries of one job that commands are bound to, and its open intents.

    *claims* are the commands that an operator wants to be bound to a delivery.
    """

    bound: dict[DeliveryId, tuple[CommandId, datetime]] = field(default_factory=dict)
    intents: list[OpenIntent] = field(default_factory=list)
    claims: dict[DeliveryId, set[CommandId]] = field(default_factory=dict)

    def is_taken(self, delivery_id: DeliveryId) -> bool:
        """Whether a command is bound to it, or is to be by an operator's order."""
        return delivery_id in self.bound or delivery_id in self.claims

    @property
    def known(self) -> tuple[Bound, ...]:
        """The bound ones, as possible witnesses."""
        return tuple(Bound(which, when) for which, (_, when) in self.bound.items())


class Bindings:
    """
    Reads every partition of the state topic, whoever owns it.

    *within* is the longest time from the writing of an intent until Jet has applied it.
    """

    def __init__(self, kafka: KafkaClients, within: timedelta) -> None:
        self._kafka = kafka
        self._within = within
        self._latest = SingleFlight(self._read)

    async def read(self, job_id: JobId) -> JobBindings:
        """
        Return what is bound and open on a job, as of now; raises StoreError.

        Read up to the high watermark as it stands when the reading begins, not the
        last stable offset: a commit returns before its marker is visible.
        """
        book = JobBindings()
        values = (await self._latest.get(job_id)).values()
        for number, value in enumerate(values):
            if number % _SLICE == 0:
                await asyncio.sleep(0)
            if job_id.encode() in value:
                _enter(book, job_id, value, self._within)
        return book

    async def _read(self, job_ids: tuple[JobId, ...]) -> dict[bytes, bytes]:
        """Return the latest snapshots that name one of the jobs."""
        names = {job_id.encode() for job_id in job_ids}
        latest: dict[bytes, bytes] = {}
        async for batch in read(self._kafka, self._kafka.topics.state, HIGH_WATERMARKS):
            for record in batch:
                named = any(name in (record.value or b"") for name in names)
                keep(latest, record.key, record.value if named else None)
        return latest


def _enter(book: JobBindings, job_id: JobId, value: bytes, within: timedelta) -> None:
    try:
        snapshot = snapshots.decode(value)
    except snapshots.UnreadableSnapshot as exc:
        raise StoreError(str(exc)) from exc
    if snapshot.job_id != job_id:
        return
    if snapshot.delivery_id is not None:
        if isinstance(snapshot, Delivery):
            when = snapshot.started_at or snapshot.accepted_at
        else:
            when = snapshot.started_at or snapshot.finished_at
        book.bound[snapshot.delivery_id] = (snapshot.command_id, when)
    elif isinstance(snapshot, Delivery) and snapshot.state in _OPEN:
        intent = snapshot.intent
        if intent is not None:
            book.intents.append(open_intent(snapshot, intent, within))
        if snapshot.pending is not None:
            claimants = book.claims.setdefault(snapshot.pending.delivery_id, set())
            claimants.add(snapshot.command_id)
