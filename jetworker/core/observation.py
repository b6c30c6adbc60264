"""What Jet shows of itself, as values; every field that Jet may leave out is optional."""

from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeAlias, TypeVar

from jetworker.core.command import (
    DeliveryId,
    JobId,
    ProfileId,
    SubscriptionId,
    TransferId,
)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Listed(Generic[_T]):
    """
    What a listing shows: *items* that could be read, of *shown* in all.

    *has_more*: Jet says that there is more. What is not among the items may exist all
    the same, unless the listing *is_whole*.
    """

    items: tuple[_T, ...]
    shown: int = 0
    has_more: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether everything was shown and read."""
        return not self.has_more and len(self.items) == self.shown


@dataclass(frozen=True, slots=True)
class Tally:
    """A number of objects and their bytes."""

    count: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """
    Jet's `deliverySummary` or `transferProgress`.

    Not *is_failed_known*: Jet gave a failed count that cannot be read. It is not zero.
    """

    transferred: Tally = Tally()
    skipped: Tally = Tally()
    failed: Tally = Tally()
    is_failed_known: bool = True


@dataclass(frozen=True, slots=True)
class JetDelivery:
    """
    One answer to "get delivery"; *state* is Jet's word, verbatim.

    *asked_at* is when the question left (monotonic): answers may overtake each other.
    """

    delivery_id: DeliveryId
    state: str
    created_on: datetime | None = None
    progress: Progress | None = None
    transfer_ids: tuple[TransferId, ...] = ()
    modified_on: datetime | None = None
    asked_at: float = 0.0


@dataclass(frozen=True, slots=True)
class JetTransfer:
    """
    One transfer, alone or from the listing; *expected* is its manifest's summary.

    *asked_at* is when the question left (monotonic).
    """

    transfer_id: TransferId
    state: str
    delivery_id: DeliveryId | None = None
    is_retry: bool = False
    progress: Progress | None = None
    expected: Tally | None = None
    asked_at: float = 0.0


@dataclass(frozen=True, slots=True)
class JetFile:
    """One file of a job; *url* is storage's own and never leaves the process."""

    url: str
    transfer_id: TransferId | None = None
    state: str = ""
    size: int | None = None
    created_on: datetime | None = None


@dataclass(frozen=True, slots=True)
class JetJob:
    """
    A manual job.

    *delivery_ids* are all that occur anywhere in the job document, at any depth, in the
    document's order: Jet's page says that they "can be found" there, not in which field.
    *profile_ids* are (source, destination).
    """

    job_id: JobId
    name: str = ""
    paused: bool = False
    created_on: datetime | None = None
    profile_ids: tuple[ProfileId, ProfileId] | None = None
    delivery_ids: tuple[DeliveryId, ...] = ()


@dataclass(frozen=True, slots=True)
class Subscription:
    """What of Jet's notifications of a job's deliveries is sent to a URL."""

    subscription_id: SubscriptionId
    job_id: JobId
    url: str
    created_on: datetime | None = None


@dataclass(frozen=True, slots=True)
class Hint:
    """
    A delivery that a notification names: somebody says that it is worth a question.

    *is_running*: it says as well that the delivery has not ended, so that no hurry is.
    """

    job_id: JobId
    delivery_id: DeliveryId
    is_running: bool = False


@dataclass(frozen=True, slots=True)
class StorageProfile:
    """A place that Jet can read from or write to."""

    profile_id: ProfileId
    name: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class StartAccepted:
    """A 2xx that carries a deliveryId: applied."""

    delivery_id: DeliveryId


@dataclass(frozen=True, slots=True)
class StartNotSent:
    """DNS, connect or TLS failed before a byte of the request left: not applied."""

    message: str


@dataclass(frozen=True, slots=True)
class StartAnswered:
    """
    An answer without a deliveryId; *message* is what Jet said, without URLs, short.

    Not *is_jets*: its body is no JSON object, so it is not Jet's word but that of
    something in front of it.
    """

    status: int
    message: str
    is_jets: bool = True


@dataclass(frozen=True, slots=True)
class StartLost:
    """The request may have left and no usable answer came back: unknown."""

    message: str


StartAnswer: TypeAlias = StartAccepted | StartNotSent | StartAnswered | StartLost


_ENDED = frozenset({"COMPLETED", "FAILED", "CANCELLED", "CANCELED"})
_RUNNING = frozenset({"CREATED", "QUEUED", "SCHEDULED", "IN_PROGRESS"})


def is_final_in_jet(jet_state: str | None) -> bool:
    """Whether Jet's word means that nothing comes after; unknown words do not."""
    return (jet_state or "").upper() in _ENDED


def is_known_in_jet(jet_state: str | None) -> bool:
    """Whether it is a word that Jet's page or its webhooks' examples have."""
    return (jet_state or "").upper() in _ENDED | _RUNNING
