"""Commands as values: what a record on the commands topic asks for."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType, TypeAlias

CommandId = NewType("CommandId", str)
RouteName = NewType("RouteName", str)
JobId = NewType("JobId", str)
DeliveryId = NewType("DeliveryId", str)
TransferId = NewType("TransferId", str)
ProfileId = NewType("ProfileId", str)
SubscriptionId = NewType("SubscriptionId", str)


@dataclass(frozen=True, slots=True)
class ObjectSpec:
    """One file or folder to send; *size* in bytes, None where it is not known."""

    relative_path: str
    size: int | None = None
    is_directory: bool = False


@dataclass(frozen=True, slots=True)
class Send:
    """
    Send these objects over this route.

    *metadata* is compact JSON, echoed in every event. *fingerprint* is 16 bytes
    that are equal for equal content: after parsing and defaults.
    """

    command_id: CommandId
    route: RouteName
    objects: tuple[ObjectSpec, ...]
    fingerprint: bytes
    metadata: bytes | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Cancel:
    """End the command of this id, if it was not started."""

    command_id: CommandId


class Resolution(StrEnum):
    """What an operator decides about a held command."""

    ADOPT = "adopt"
    RESEND = "resend"
    ABANDON = "abandon"


@dataclass(frozen=True, slots=True)
class Resolve:
    """An operator's decision on a held command; *delivery_id* with adopt only."""

    command_id: CommandId
    action: Resolution
    delivery_id: DeliveryId | None = None


Command: TypeAlias = Send | Cancel | Resolve


@dataclass(frozen=True, slots=True)
class Origin:
    """Where in Kafka a record was read; *timestamp* is the record's own, aware UTC."""

    topic: str
    partition: int
    offset: int
    timestamp: datetime
    traceparent: str | None = None


class Rejection(StrEnum):
    """Why a record was not carried out."""

    INVALID_JSON = "invalid_json"
    INVALID_COMMAND = "invalid_command"
    TOO_LARGE = "too_large"
    TOO_MANY_OBJECTS = "too_many_objects"
    UNKNOWN_ROUTE = "unknown_route"
    PATH_NOT_ALLOWED = "path_not_allowed"
    EXPIRED = "expired"
    CONFLICT = "conflict"
    UNKNOWN_COMMAND = "unknown_command"
    NOT_CANCELLABLE = "not_cancellable"
    NOT_HELD = "not_held"
    NOT_ADOPTABLE = "not_adoptable"
    INTERNAL_ERROR = "internal_error"


@dataclass(frozen=True, slots=True)
class Reject:
    """Not carried out; *problems* are (JSON Pointer, message) pairs."""

    reason: Rejection
    message: str
    command_id: CommandId | None = None
    metadata: bytes | None = None
    problems: tuple[tuple[str, str], ...] = ()
