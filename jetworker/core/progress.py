"""
What an observation of Jet tells: which transfers and counts changed, and the end.

Delivery state decides, not its transfers: batches and retries add transfers later.
COMPLETED with failed objects is failed, whether the summary says so or a transfer. Unknown states are in progress. A delivery
that Jet has ended waits for the last word on its transfers, unless the observation
is conclusive.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from jetworker.core.command import TransferId
from jetworker.core.delivery import (
    Delivery,
    Event,
    EventType,
    FailedObjects,
    Reason,
    ReasonCode,
    State,
    Transfer,
)
from jetworker.core.frozen import replace
from jetworker.core.observation import (
    JetDelivery,
    JetTransfer,
    Progress,
    is_final_in_jet,
)
from jetworker.core.trigger import StatusObserved

MOST_PATHS = 20  # of failed objects in an event
_MOST_TRANSFERS = 5000  # of a delivery: its snapshot must fit into a record
Ending: TypeAlias = tuple[State, EventType, Reason | None]

_TRANSFER_EVENTS = {
    "COMPLETED": EventType.TRANSFER_COMPLETED,
    "FAILED": EventType.TRANSFER_FAILED,
    "CANCELLED": EventType.TRANSFER_CANCELLED,
    "CANCELED": EventType.TRANSFER_CANCELLED,
}


@dataclass(frozen=True, slots=True)
class Observed:
    """The delivery with what was seen, what is told of it, and the ending if it ended."""

    delivery: Delivery
    events: tuple[Event, ...] = ()
    ending: Ending | None = None


def observe(
    delivery: Delivery, seen: StatusObserved, now: datetime, interval: timedelta
) -> Observed:
    """Compare what Jet shows with what was last published."""
    known, events = _observe_transfers(delivery, seen, now, interval)
    if seen.delivery is None:
        return Observed(known, events)
    if known.created_on is None and seen.delivery.created_on is not None:
        known = replace(known, created_on=seen.delivery.created_on)
    if not is_final_in_jet(seen.delivery.state):
        changed, more = _observe_delivery(
            known, seen.delivery, now, interval, is_back=seen.is_back
        )
        return Observed(changed, events + more)
    if not seen.conclusive and any(not t.is_final for t in known.transfers):
        return Observed(known, events)
    final = _with_failures(
        replace(
            known,
            jet_state=seen.delivery.state,
            progress=seen.delivery.progress or known.progress,
            ended_on=seen.delivery.modified_on,
        ),
        seen.failed_paths,
    )
    return Observed(final, events, _ending(final))


def would_fail(delivery: Delivery, shown: JetDelivery) -> bool:
    """Whether what Jet has ended so has failed objects, which it may name."""
    progress = shown.progress or delivery.progress
    ended = replace(delivery, jet_state=shown.state, progress=progress)
    return ended.failed > 0 or shown.state.upper() == "FAILED"


def would_complete(
    delivery: Delivery, shown: JetDelivery, transfers: tuple[JetTransfer, ...]
) -> bool:
    """Whether what Jet shows ends a delivery, with all of its transfers and no failure."""
    seen = StatusObserved(shown, transfers)
    ending = observe(delivery, seen, delivery.accepted_at, timedelta()).ending
    return ending is not None and ending[0] is State.COMPLETED


def unfinished(delivery: Delivery) -> tuple[TransferId, ...]:
    """Return the transfers whose last event is still to come."""
    return tuple(t.transfer_id for t in delivery.transfers if not t.is_final)


def _with_failures(delivery: Delivery, paths: tuple[str, ...]) -> Delivery:
    failed = max(delivery.failed, len(paths))
    if not failed:
        return delivery
    return replace(delivery, failed_objects=FailedObjects(failed, paths[:MOST_PATHS]))


def _ending(delivery: Delivery) -> Ending:
    jet_state = (delivery.jet_state or "").upper()
    failed = delivery.failed_objects
    if jet_state == "COMPLETED" and failed is None:
        return State.COMPLETED, EventType.COMPLETED, None
    if jet_state == "COMPLETED":
        assert failed is not None
        objects = "1 object" if failed.count == 1 else f"{failed.count} objects"
        reason = Reason(
            ReasonCode.OBJECTS_FAILED, f"Jet completed it, but {objects} failed"
        )
    elif jet_state == "FAILED":
        reason = Reason(ReasonCode.JET_FAILED, "Jet says the delivery failed")
    else:
        reason = Reason(ReasonCode.JET_CANCELLED, "Jet says the delivery was cancelled")
    return State.FAILED, EventType.FAILED, reason


def _observe_delivery(
    delivery: Delivery,
    seen: JetDelivery,
    now: datetime,
    interval: timedelta,
    *,
    is_back: bool,
) -> tuple[Delivery, tuple[Event, ...]]:
    moved = seen.state != delivery.jet_state
    progress = seen.progress if is_back else _farther(delivery.progress, seen.progress)
    counted = progress != delivery.progress
    throttled = is_throttled(delivery.counted_at, now, interval)
    if not moved and (not counted or throttled):
        return delivery, ()
    changed = replace(
        delivery,
        state=State.IN_PROGRESS,
        published=State.IN_PROGRESS,
        sequence=delivery.sequence + 1,
        jet_state=seen.state,
        progress=progress,
        counted_at=delivery.counted_at if moved else now,
    )
    return changed, (Event(EventType.PROGRESSED, changed),)


def _farther(told: Progress | None, seen: Progress | None) -> Progress | None:
    """
    Return the counts that are farther on: what was told is not taken back on the way.

    Jet's own may lag behind the sum of its transfers. Where Jet's own ran backwards,
    and at the end, it is as Jet says.
    """
    if told is None or seen is None:
        return seen or told
    return seen if seen.transferred.bytes >= told.transferred.bytes else told


def _observe_transfers(
    delivery: Delivery, seen: StatusObserved, now: datetime, interval: timedelta
) -> tuple[Delivery, tuple[Event, ...]]:
    transfers = {t.transfer_id: t for t in delivery.transfers}
    for transfer_id in seen.delivery.transfer_ids if seen.delivery else ():
        if len(transfers) < _MOST_TRANSFERS:
            transfers.setdefault(transfer_id, Transfer(transfer_id))
    changes: list[Transfer] = []
    for shown in seen.transfers:
        if shown.transfer_id not in transfers and len(transfers) >= _MOST_TRANSFERS:
            continue
        old = transfers.get(shown.transfer_id, Transfer(shown.transfer_id))
        new = _observe_transfer(old, shown, now, interval)
        transfers[shown.transfer_id] = new
        if new is not old:
            changes.append(new)
    if len(transfers) == len(delivery.transfers) and not changes:
        return delivery, ()
    return _tell_transfers(delivery, tuple(transfers.values()), changes)


def _observe_transfer(
    old: Transfer, shown: JetTransfer, now: datetime, interval: timedelta
) -> Transfer:
    """Return the same object if there is nothing to tell."""
    if old.is_final:
        return old
    moved = shown.state != old.jet_state
    counted = shown.progress is not None and shown.progress != old.progress
    if not moved and (not counted or is_throttled(old.counted_at, now, interval)):
        return old
    return Transfer(
        shown.transfer_id,
        shown.state,
        shown.is_retry,
        shown.progress or old.progress,
        old.counted_at if moved else now,
    )


def _tell_transfers(
    delivery: Delivery, transfers: tuple[Transfer, ...], changes: list[Transfer]
) -> tuple[Delivery, tuple[Event, ...]]:
    if not changes:
        return replace(delivery, transfers=transfers), ()
    events: list[Event] = []
    for transfer in changes:
        number = delivery.sequence + 1
        delivery = replace(delivery, sequence=number, transfers=transfers)
        kind = _TRANSFER_EVENTS.get(
            (transfer.jet_state or "").upper(), EventType.TRANSFER_PROGRESSED
        )
        events.append(Event(kind, delivery, transfer))
    return delivery, tuple(events)


def is_throttled(
    counted_at: datetime | None, now: datetime, interval: timedelta
) -> bool:
    """Whether counts alone were told too lately to be told again."""
    return counted_at is not None and now - counted_at < interval
