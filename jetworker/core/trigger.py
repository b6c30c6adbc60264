"""Triggers: what happened to a delivery, as the shell tells the lifecycle."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from jetworker.core.command import DeliveryId
from jetworker.core.delivery import (
    Intent,
    PendingAdopt,
    ReasonCode,
    Terms,
    WaitingOrder,
)
from jetworker.core.observation import JetDelivery, JetTransfer


@dataclass(frozen=True, slots=True)
class Blocked:
    """
    Something is in the way of its route.

    That concerns those that wait: one that has begun meanwhile is told by Jet's answer.
    """

    code: ReasonCode
    message: str


@dataclass(frozen=True, slots=True)
class Deferred:
    """The start was written down, and plainly refused, or not sent, for now."""

    obstacle: Blocked


@dataclass(frozen=True, slots=True)
class Refused:
    """It can never start."""

    code: ReasonCode
    message: str


@dataclass(frozen=True, slots=True)
class Begun:
    """The start goes ahead: write it down."""

    intent: Intent
    terms: Terms


@dataclass(frozen=True, slots=True)
class StartConfirmed:
    """Jet answered our start with a deliveryId; *jet_time* is its clock then."""

    delivery_id: DeliveryId
    jet_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Lost:
    """
    The start was sent, or an intent was restored, and the outcome is unknown.

    *hi* is until when, seen from now, Jet can have applied it.
    """

    message: str
    hi: datetime | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A look-up, or an operator, says which delivery is ours."""

    delivery_id: DeliveryId
    created_on: datetime | None


@dataclass(frozen=True, slots=True)
class Absent:
    """A look-up proved that nothing was started."""


@dataclass(frozen=True, slots=True)
class Undecided:
    """The look-up could not decide in time, or a held one lacks something else now."""

    message: str


@dataclass(frozen=True, slots=True)
class CancelOrdered:
    """A cancel command came."""


@dataclass(frozen=True, slots=True)
class AdoptOrdered:
    """A resolve command says adopt; Jet must be asked first."""

    pending: PendingAdopt


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery is to be taken by itself, unless somebody else does; None: it is not."""

    delivery_id: DeliveryId | None


@dataclass(frozen=True, slots=True)
class OrderQueued:
    """An order came while Jet is being asked about an adopt: it waits behind it."""

    order: WaitingOrder


@dataclass(frozen=True, slots=True)
class AdoptRefused:
    """Jet does not know the delivery on that job, or it is bound elsewhere."""


@dataclass(frozen=True, slots=True)
class ResendOrdered:
    """A resolve command accepts the risk of a second delivery."""


@dataclass(frozen=True, slots=True)
class AbandonOrdered:
    """A resolve command gives the held delivery up."""


@dataclass(frozen=True, slots=True)
class StatusObserved:
    """
    Jet was asked. *delivery* is None where only transfers were listed.

    *conclusive*: ask no further; transfers that still look alive stay as they are.
    *failed_paths* are the objects that Jet names as failed, as the command wrote them.
    *is_back*: Jet's own counts ran backwards, and are told as they are.
    """

    delivery: JetDelivery | None
    transfers: tuple[JetTransfer, ...] = ()
    conclusive: bool = False
    failed_paths: tuple[str, ...] = ()
    is_back: bool = False


@dataclass(frozen=True, slots=True)
class DeliveryNotFound:
    """Jet itself said 404 for five minutes and nothing else, and shows the job."""


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """The route's deadline passed since it was started."""


Trigger: TypeAlias = (
    Blocked
    | Deferred
    | Refused
    | Begun
    | StartConfirmed
    | Lost
    | Found
    | Absent
    | Undecided
    | Claimed
    | CancelOrdered
    | AdoptOrdered
    | OrderQueued
    | AdoptRefused
    | ResendOrdered
    | AbandonOrdered
    | StatusObserved
    | DeliveryNotFound
    | DeadlinePassed
)
