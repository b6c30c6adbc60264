"""
A command's snapshot, made anew from what was told of it and from the command itself.

An event says all that consumers may know, a snapshot says more: whether a start was
written down and sent is told only when its outcome is known. What was told as started is
therefore bound again, what was told as ended is remembered, and anything else is held.
What became of a start that was told as unknown is not told: it stays a rival.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import orjson

from jetworker.core.command import (
    CommandId,
    DeliveryId,
    JobId,
    RouteName,
    Send,
    TransferId,
)
from jetworker.core.delivery import (
    Delivery,
    Event,
    EventType,
    Intent,
    Reason,
    ReasonCode,
    Requested,
    State,
    Terms,
    Transfer,
)
from jetworker.core.finished import Finished
from jetworker.core.jet_clock import UNHEARD
from jetworker.core.observation import Progress, Tally
from jetworker.core.post import Contents, Ghost, contents_of, sample_of
from jetworker.core.route import OnUncertain, Route
from jetworker.wire.events import ReadEvent
from jetworker.wire.snapshots import Snapshot

_KINDS = ("transferred", "skipped", "failed")
_UNKNOWN = bytes(16)  # no content has it: a command again is a conflict, never a start
_HELD = "the state was rebuilt: whether a start was sent is not known, look at the job in Jet"


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A snapshot, and the event that tells of it where it is not what was told last."""

    snapshot: Snapshot
    event: Event | None = None


def rebuild(
    told: Sequence[ReadEvent],
    command: Send | None,
    route: Route | None,
    now: datetime,
) -> Rebuilt:
    """
    Make the snapshot of a command from its numbered events, in order.

    *command* and *route* are None where they are not known any more.
    """
    last = [each for each in told if each.kind.startswith("delivery.")][-1].data
    sequence = max(int(each.data["sequence"]) for each in told)
    state = State(last["state"])
    if state.is_final:
        ghosts = _ghosts(last, told, command, now)
        return Rebuilt(replace(_finished(last, sequence, command), posts=ghosts))
    delivery = _open(last, sequence, told, command, route)
    if state.is_followed or delivery.attempt > 1:
        delivery = replace(delivery, posts=_ghosts(last, told, command, now))
    if state.is_followed:
        return Rebuilt(delivery)
    held = _held(delivery, route, now)
    return Rebuilt(held, Event(EventType.UNCERTAIN, held))


def _finished(last: Mapping[str, Any], sequence: int, command: Send | None) -> Finished:
    return Finished(
        command_id=CommandId(last["commandId"]),
        fingerprint=command.fingerprint if command else _UNKNOWN,
        state=State(last["state"]),
        finished_at=datetime.fromisoformat(last["finishedAt"]),
        route=RouteName(last["route"]),
        sequence=sequence,
        attempt=last["attempt"],
        job_id=_job(last),
        delivery_id=_delivery_id(last),
        reason=_reason(last),
        started_at=_instant(last["startedAt"]),
        accepted_at=_instant(last["acceptedAt"]),
        requested=Requested(**last["requested"]),
        progress=_progress(last["progress"]),
        jet_state=last["jetState"],
        adopted=last["adopted"],
        metadata=_metadata(last),
    )


def _open(
    last: Mapping[str, Any],
    sequence: int,
    told: Sequence[ReadEvent],
    command: Send | None,
    route: Route | None,
) -> Delivery:
    accepted_at = datetime.fromisoformat(last["acceptedAt"])
    return Delivery(
        command_id=CommandId(last["commandId"]),
        fingerprint=command.fingerprint if command else _UNKNOWN,
        route=RouteName(last["route"]),
        requested=Requested(**last["requested"]),
        commanded_at=accepted_at,
        accepted_at=accepted_at,
        metadata=_metadata(last),
        traceparent=told[-1].traceparent,
        state=State(last["state"]),
        published=State(last["state"]),
        sequence=sequence,
        attempt=last["attempt"],
        objects=command.objects if command else (),
        terms=Terms(OnUncertain.HOLD, route.deadline if route else None),
        job_id=_job(last),
        delivery_id=_delivery_id(last),
        adopted=last["adopted"],
        jet_state=last["jetState"],
        progress=_progress(last["progress"]),
        started_at=_instant(last["startedAt"]),
        transfers=_transfers(told),
        told_on=told[-1].partition,
        sample=sample_of(command.objects) if command else None,
        # What is not known to be none teaches nothing of what its job shows.
        folders=command is None or any(x.is_directory for x in command.objects),
    )


def _ghosts(
    last: Mapping[str, Any],
    told: Sequence[ReadEvent],
    command: Send | None,
    now: datetime,
) -> tuple[Ghost, ...]:
    """
    Return the post that may be left of what was told as unknown (R1), as wide as it is.

    Without the command nothing of what it asked for is known, as of one with folders.
    """
    doubts = [each.data for each in told if each.kind == EventType.UNCERTAIN]
    if not doubts:
        return ()
    heard = _instant(doubts[-1].get("eventTime")) or now
    accepted_at = datetime.fromisoformat(last["acceptedAt"])
    intent = Intent(JobId(""), accepted_at, hi=heard + UNHEARD)
    nothing = Contents(0, None, folders=True, paths_hash=_UNKNOWN)
    contents = contents_of(command.objects) if command else nothing
    return (Ghost(max(1, last["attempt"] - 1), intent.window, contents),)


def _held(delivery: Delivery, route: Route | None, now: datetime) -> Delivery:
    """
    Hold what may have been sent: it may still be adopted, but is never sent again.

    Its start, if there was one, was sent between the command's acceptance and now.
    """
    known = delivery.job_id or (route.job_id if route else None) or JobId("unknown")
    return replace(
        delivery,
        state=State.HELD,
        published=State.UNCERTAIN,
        sequence=delivery.sequence + 1,
        attempt=max(1, delivery.attempt),
        job_id=known,
        intent=Intent(known, delivery.accepted_at, hi=now + UNHEARD),
        reason=Reason(ReasonCode.HELD, _HELD),
        doubted_at=now,
    )


def _transfers(told: Sequence[ReadEvent]) -> tuple[Transfer, ...]:
    found = {
        each.data["transferId"]: Transfer(
            TransferId(each.data["transferId"]),
            each.data["jetState"],
            each.data["isRetry"],
            _progress(each.data["progress"]),
        )
        for each in told
        if each.kind.startswith("transfer.")
    }
    return tuple(found.values())


def _progress(data: Mapping[str, Any] | None) -> Progress | None:
    if data is None:
        return None
    moved, skipped, failed = (Tally(**data[kind]) for kind in _KINDS)
    return Progress(moved, skipped, failed)


def _reason(last: Mapping[str, Any]) -> Reason | None:
    found = last["reason"]
    return Reason(ReasonCode(found["code"]), found["message"]) if found else None


def _job(last: Mapping[str, Any]) -> JobId | None:
    return JobId(last["jobId"]) if last["jobId"] else None


def _delivery_id(last: Mapping[str, Any]) -> DeliveryId | None:
    return DeliveryId(last["deliveryId"]) if last["deliveryId"] else None


def _metadata(last: Mapping[str, Any]) -> bytes | None:
    return None if last["metadata"] is None else orjson.dumps(last["metadata"])


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
