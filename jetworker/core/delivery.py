"""
The delivery: what a command becomes, and the events that tell of it.

A delivery is frozen; each step makes a new one (`lifecycle`). What it holds is what
its snapshot holds: a worker that restores it knows everything its predecessor knew.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from jetworker.core.command import (
    CommandId,
    DeliveryId,
    JobId,
    ObjectSpec,
    Origin,
    RouteName,
    TransferId,
)
from jetworker.core.jet_clock import AGREED, CUT, UNHEARD
from jetworker.core.observation import Progress, is_final_in_jet
from jetworker.core.post import Ghost, Window
from jetworker.core.route import OnUncertain


class State(StrEnum):
    """
    Where a delivery is; `published` is the word that events use for it.

    ACCEPTED, WAITING and CLEARED may be started; CLEARED was uncertain and is to be
    started again. STARTING has its intent written down. HELD waits for an operator.
    """

    ACCEPTED = "accepted"
    WAITING = "waiting"
    CLEARED = "cleared"
    STARTING = "starting"
    UNCERTAIN = "uncertain"
    HELD = "held"
    STARTED = "started"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_startable(self) -> bool:
        """Whether a start may be written down from here."""
        return self in _STARTABLE

    @property
    def is_final(self) -> bool:
        """Whether nothing comes after."""
        return self in _FINAL

    @property
    def is_followed(self) -> bool:
        """Whether Jet is asked how far it is."""
        return self in {State.STARTED, State.IN_PROGRESS}

    @property
    def is_open(self) -> bool:
        """Whether it counts against `max_active`: from its first intent to its end."""
        return self not in _NOT_OPEN


_STARTABLE = frozenset({State.ACCEPTED, State.WAITING, State.CLEARED})
_FINAL = frozenset({State.COMPLETED, State.FAILED, State.CANCELLED})
_NOT_OPEN = _FINAL | {State.ACCEPTED, State.WAITING}


class ReasonCode(StrEnum):
    """Why a delivery waits, is uncertain or failed."""

    JOB_PAUSED = "job_paused"
    ROUTE_PAUSED = "route_paused"
    LIMIT = "limit"
    JET_UNAVAILABLE = "jet_unavailable"
    UNAUTHORIZED = "unauthorized"
    JOB_UNAVAILABLE = "job_unavailable"
    START_UNKNOWN = "start_unknown"
    HELD = "held"
    JET_FAILED = "jet_failed"
    JET_CANCELLED = "jet_cancelled"
    OBJECTS_FAILED = "objects_failed"
    REJECTED_BY_JET = "rejected_by_jet"
    JOB_NOT_FOUND = "job_not_found"
    EXPIRED = "expired"
    DELIVERY_NOT_FOUND = "delivery_not_found"
    ABANDONED = "abandoned"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    INTERNAL_ERROR = "internal_error"


@dataclass(frozen=True, slots=True)
class Reason:
    """A code for programs and a sentence for people."""

    code: ReasonCode
    message: str


@dataclass(frozen=True, slots=True)
class Requested:
    """What the command asked for; *bytes* is None if any size is unknown."""

    count: int
    bytes: int | None


@dataclass(frozen=True, slots=True)
class FailedObjects:
    """
    What failed of a delivery that has ended.

    *paths* are as the command wrote them, as far as Jet names them, at most 20.
    """

    count: int
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Terms:
    """What the route said when the start was written down; an open delivery keeps it."""

    on_uncertain: OnUncertain = OnUncertain.RECONCILE
    deadline: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Intent:
    """
    A start written down before it is sent.

    *jet_time* is Jet's clock at or before the writing; *hi* is until when Jet can have
    applied it. *after* is a field of 0.1.0, which also wrote intents without having heard
    Jet.
    """

    job_id: JobId
    written_at: datetime
    jet_time: datetime | None = None
    after: DeliveryId | None = None
    hi: datetime | None = None

    @property
    def window(self) -> Window:
        """When Jet can have applied it, by Jet's clock."""
        heard = self.jet_time is not None
        lo = (self.jet_time or self.written_at) - AGREED - CUT
        hi = self.hi or (self.jet_time or self.written_at) + UNHEARD
        return Window(lo if heard else lo - UNHEARD, hi)


@dataclass(frozen=True, slots=True)
class Transfer:
    """Jet's part of a delivery, as last published."""

    transfer_id: TransferId
    jet_state: str | None = None
    is_retry: bool = False
    progress: Progress | None = None
    counted_at: datetime | None = None

    @property
    def is_final(self) -> bool:
        """Whether Jet has ended it."""
        return is_final_in_jet(self.jet_state)

    @property
    def failed(self) -> int:
        """How many of its objects have failed, one at least where it shows a failure."""
        counted = self.progress.failed.count if self.progress else 0
        is_unclear = self.progress is not None and not self.progress.is_failed_known
        has_failed = (self.jet_state or "").upper() == "FAILED"
        return max(counted, int(is_unclear or has_failed))


@dataclass(frozen=True, slots=True)
class PendingAdopt:
    """
    An operator's adopt that waits for Jet's word, beside the partition.

    The record is kept: should Jet say no, it is parked byte for byte.
    """

    delivery_id: DeliveryId
    origin: Origin
    key: bytes | None = None
    value: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()


class OrderKind(StrEnum):
    """What an operator's order says."""

    ADOPT = "adopt"
    RESEND = "resend"
    ABANDON = "abandon"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class WaitingOrder:
    """An order that waits behind an adopt, until Jet's word on that is there (R9)."""

    kind: OrderKind
    origin: Origin
    delivery_id: DeliveryId | None = None
    key: bytes | None = None
    value: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()


@dataclass(frozen=True, slots=True)
class Delivery:
    """
    One command on its way.

    *published* is the state of the latest `delivery.*` event. *objects* is dropped
    once the start is settled. *progress* is as last published; *counted_at* is when
    counts alone were last published. *attempt* counts the starts sent that were not
    plainly refused. *doubted_at* is when a start was last unknown: the job is swept
    for deliveries nobody asked for until a day later. *unknown* is what its snapshot
    held that this version does not know; it is carried unread.

    *posts* are the ghosts: posts that were neither bound nor proven absent. *made_in* is
    when the bound delivery can have been made, until *created_on* was read; *ended_on*
    is when Jet last changed it. *sample* is the hash of one path with a folder: what is
    needed to learn from it what the job shows. *orders* wait behind *pending*. *claimed*
    is what it is about to take by itself: said before it is looked who else wants it.
    *read_at* is the partition and the offset of its command's record. *told_on* is the
    partition of its events, also after their topic has grown; None is what the key says.
    """

    command_id: CommandId
    fingerprint: bytes
    route: RouteName
    requested: Requested
    commanded_at: datetime
    accepted_at: datetime
    objects: tuple[ObjectSpec, ...] = ()
    metadata: bytes | None = None
    traceparent: str | None = None
    expires_at: datetime | None = None
    state: State = State.ACCEPTED
    published: State = State.ACCEPTED
    sequence: int = 0
    attempt: int = 0
    intent: Intent | None = None
    terms: Terms = Terms()
    job_id: JobId | None = None
    delivery_id: DeliveryId | None = None
    adopted: bool = False
    jet_state: str | None = None
    progress: Progress | None = None
    counted_at: datetime | None = None
    reason: Reason | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    transfers: tuple[Transfer, ...] = ()
    pending: PendingAdopt | None = None
    doubted_at: datetime | None = None
    posts: tuple[Ghost, ...] = ()
    made_in: Window | None = None
    created_on: datetime | None = None
    ended_on: datetime | None = None
    sample: bytes | None = None
    folders: bool = False
    orders: tuple[WaitingOrder, ...] = ()
    unknown: bytes | None = None
    read_at: tuple[int, int] | None = None
    failed_objects: FailedObjects | None = None
    told_on: int | None = None
    claimed: DeliveryId | None = None

    @property
    def failed(self) -> int:
        """
        How many objects have failed, by Jet's summary or by the transfers.

        Whichever shows more: no failure is taken back by a summary that leaves it out.
        A count that Jet gave and that cannot be read is not zero: the transfers
        decide, and without any it counts as one.
        """
        by_transfers = sum(each.failed for each in self.transfers)
        if self.progress is None:
            return by_transfers
        is_unclear = not self.progress.is_failed_known and not self.transfers
        return max(self.progress.failed.count, by_transfers, int(is_unclear))

    @property
    def deadline_at(self) -> datetime | None:
        """When it must have ended, None if the route does not say."""
        if self.started_at is None or self.terms.deadline is None:
            return None
        try:
            return self.started_at + self.terms.deadline
        except OverflowError:  # later than any calendar shows: never
            return None


class EventType(StrEnum):
    """What is told; the CloudEvents type is `io.jetworker.` and this."""

    ACCEPTED = "delivery.accepted"
    WAITING = "delivery.waiting"
    UNCERTAIN = "delivery.uncertain"
    STARTED = "delivery.started"
    PROGRESSED = "delivery.progressed"
    COMPLETED = "delivery.completed"
    FAILED = "delivery.failed"
    CANCELLED = "delivery.cancelled"
    TRANSFER_PROGRESSED = "transfer.progressed"
    TRANSFER_COMPLETED = "transfer.completed"
    TRANSFER_FAILED = "transfer.failed"
    TRANSFER_CANCELLED = "transfer.cancelled"


@dataclass(frozen=True, slots=True)
class Event:
    """
    One numbered event: the sequence of its *delivery* is its own.

    *transfer* is set for `transfer.*`.
    """

    type: EventType
    delivery: Delivery
    transfer: Transfer | None = None


def expiry(delivery: Delivery) -> datetime | None:
    """Return when a delivery expires, None if it never does or was sent once."""
    return None if delivery.attempt else delivery.expires_at


def is_expired(delivery: Delivery, now: datetime) -> bool:
    """Whether it is too late to begin."""
    ends = expiry(delivery)
    return ends is not None and ends <= now
