"""Numbered events as Kafka records: CloudEvents 1.0, binary mode."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from jetworker.core.command import CommandId, Rejection
from jetworker.core.delivery import (
    Delivery,
    Event,
    Reason,
    ReasonCode,
    Transfer,
)
from jetworker.core.observation import Progress, is_final_in_jet
from jetworker.wire import times
from jetworker.wire.record import Headers, Record


class Data(BaseModel):
    """Camel case outside, snake case inside; absent facts are null, never left out."""

    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, populate_by_name=True
    )


Count = Annotated[int, Field(ge=0)]
Instant = Annotated[
    str,
    Field(json_schema_extra={"format": "date-time"}, description="RFC 3339, UTC, ms."),
]
OpenState = Annotated[
    str, Field(description="An open set: tolerate values that are not listed here.")
]


class TallyData(Data):
    """A number of objects and their bytes."""

    count: Count
    bytes: Count


class ProgressData(Data):
    """What Jet has counted so far."""

    transferred: TallyData
    skipped: TallyData
    failed: TallyData


class RequestedData(Data):
    """What the command asked for; bytes is null if any size is unknown."""

    count: Count
    bytes: Count | None


class ReasonData(Data):
    """A code for programs (an open set) and a sentence for people."""

    code: Annotated[str, Field(examples=[code.value for code in ReasonCode])]
    message: str


class EventData(Data):
    """What the headers say, once more: many readers of a table see the value alone."""

    event_type: Annotated[
        str, Field(description="As the header `ce_type`: new types may come.")
    ]
    event_time: Annotated[Instant, Field(description="As the header `ce_time`.")]


class DeliveryData(EventData):
    """Data of every `io.jetworker.delivery.*` event."""

    command_id: str
    sequence: Annotated[int, Field(ge=1)]
    route: str
    job_id: str | None
    delivery_id: str | None
    state: OpenState
    jet_state: OpenState | None
    adopted: bool
    attempt: Count
    requested: RequestedData
    progress: ProgressData | None
    reason: ReasonData | None
    metadata: dict[str, Any] | None
    accepted_at: Instant
    started_at: Instant | None
    finished_at: Instant | None


class TransferData(EventData):
    """Data of every `io.jetworker.transfer.*` event."""

    command_id: str
    sequence: Annotated[int, Field(ge=1)]
    route: str
    job_id: str | None
    delivery_id: str | None
    transfer_id: str
    state: OpenState
    jet_state: OpenState | None
    is_retry: bool
    progress: ProgressData | None
    reason: ReasonData | None
    metadata: dict[str, Any] | None


class RecordData(EventData):
    """Where the record was that an answer is about."""

    topic: str
    partition: Count
    offset: Count


class RejectionData(Data):
    """Why a record was not carried out."""

    code: Annotated[str, Field(examples=[code.value for code in Rejection])]
    message: str


class ProblemData(Data):
    """One thing that is wrong; path is a JSON Pointer (RFC 6901)."""

    path: str
    message: str


class RejectedData(RecordData):
    """Data of `io.jetworker.command.rejected`."""

    event_type: Literal["io.jetworker.command.rejected"]
    command_id: str | None
    reason: RejectionData
    errors: tuple[ProblemData, ...]
    metadata: dict[str, Any] | None


class DuplicateData(RecordData):
    """Data of `io.jetworker.command.duplicate`."""

    event_type: Literal["io.jetworker.command.duplicate"]
    command_id: str
    state: OpenState
    delivery_id: str | None


class AppliedData(RecordData):
    """Data of `io.jetworker.command.applied`; action is null for a cancel."""

    event_type: Literal["io.jetworker.command.applied"]
    command_id: str
    type: Literal["cancel", "resolve"]
    action: str | None


PREFIX = "io.jetworker."
SCHEMAS = "https://jetworker.io/schemas/events/"


@dataclass(frozen=True, slots=True)
class ReadEvent:
    """
    An event as a reader sees it; *kind* is its type without the prefix.

    *value* is what was published: a line of NDJSON as it stands.
    """

    kind: str
    command_id: str | None
    data: dict[str, Any]
    value: bytes


def read(record: Any) -> ReadEvent:
    """Read one record (aiokafka's ConsumerRecord) of the events topic."""
    headers = {
        name: (value or b"").decode("utf-8", "replace")
        for name, value in record.headers
    }
    return ReadEvent(
        headers.get("ce_type", "").removeprefix(PREFIX),
        headers.get("ce_subject"),
        orjson.loads(record.value),
        record.value,
    )


@dataclass(frozen=True, slots=True)
class Envelope:
    """What every event of one worker shares: its topic and its CloudEvents source."""

    topic: str
    source: str

    def event(self, event: Event, now: datetime) -> Record:
        """Encode one numbered event."""
        delivery = event.delivery
        kind = "transfer" if event.transfer else "delivery"
        data = _transfer(event, now) if event.transfer else _delivery(event, now)
        extra = (("ce_sequence", str(delivery.sequence).encode()),)
        return self.record(
            f"{delivery.command_id}:{delivery.sequence}",
            Subject(delivery.command_id, delivery.traceparent),
            data,
            kind,
            extra,
        )

    def record(
        self,
        event_id: str,
        subject: "Subject",
        data: EventData,
        schema: str,
        extra: Headers = (),
    ) -> Record:
        """Encode one CloudEvent; *schema* is the name of its data's schema."""
        headers: Headers = (
            ("ce_specversion", b"1.0"),
            ("ce_id", event_id.encode()),
            ("ce_type", data.event_type.encode()),
            ("ce_source", self.source.encode()),
            ("ce_time", data.event_time.encode()),
            ("ce_dataschema", f"{SCHEMAS}{schema}.v1.schema.json".encode()),
            ("content-type", b"application/json"),
            *extra,
            *subject.headers(),
        )
        value = orjson.dumps(data.model_dump(by_alias=True))
        return Record(self.topic, subject.key(), value, headers)


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a record is about; without a readable id the original key stays."""

    command_id: CommandId | None
    traceparent: str | None
    original_key: bytes | None = None

    def key(self) -> bytes | None:
        """Return the record's key."""
        return self.command_id.encode() if self.command_id else self.original_key

    def headers(self) -> Headers:
        """Return the headers that name it."""
        about = (("ce_subject", self.command_id.encode()),) if self.command_id else ()
        trace = (
            (("traceparent", self.traceparent.encode()),) if self.traceparent else ()
        )
        return about + trace


def _delivery(event: Event, now: datetime) -> DeliveryData:
    delivery = event.delivery
    return DeliveryData(
        event_type=f"{PREFIX}{event.type}",
        event_time=times.encode(now),
        command_id=delivery.command_id,
        sequence=delivery.sequence,
        route=delivery.route,
        job_id=delivery.job_id,
        delivery_id=delivery.delivery_id,
        state=delivery.published,
        jet_state=delivery.jet_state,
        adopted=delivery.adopted,
        attempt=delivery.attempt,
        requested=RequestedData(
            count=delivery.requested.count, bytes=delivery.requested.bytes
        ),
        progress=_progress(delivery.progress),
        reason=_reason(delivery.reason),
        metadata=_metadata(delivery),
        accepted_at=times.encode(delivery.accepted_at),
        started_at=_instant(delivery.started_at),
        finished_at=_instant(delivery.finished_at),
    )


def _transfer(event: Event, now: datetime) -> TransferData:
    assert event.transfer is not None
    delivery, transfer = event.delivery, event.transfer
    return TransferData(
        event_type=f"{PREFIX}{event.type}",
        event_time=times.encode(now),
        command_id=delivery.command_id,
        sequence=delivery.sequence,
        route=delivery.route,
        job_id=delivery.job_id,
        delivery_id=delivery.delivery_id,
        transfer_id=transfer.transfer_id,
        state=_transfer_state(transfer),
        jet_state=transfer.jet_state,
        is_retry=transfer.is_retry,
        progress=_progress(transfer.progress),
        reason=_transfer_reason(transfer),
        metadata=_metadata(delivery),
    )


def _transfer_state(transfer: Transfer) -> str:
    if not is_final_in_jet(transfer.jet_state):
        return "in_progress"
    state = (transfer.jet_state or "").lower()
    return "cancelled" if state.startswith("cancel") else state


def _transfer_reason(transfer: Transfer) -> ReasonData | None:
    if _transfer_state(transfer) != "failed":
        return None
    return ReasonData(
        code=ReasonCode.JET_FAILED, message="Jet says the transfer failed"
    )


def _progress(progress: Progress | None) -> ProgressData | None:
    if progress is None:
        return None
    return ProgressData(
        transferred=TallyData(
            count=progress.transferred.count, bytes=progress.transferred.bytes
        ),
        skipped=TallyData(count=progress.skipped.count, bytes=progress.skipped.bytes),
        failed=TallyData(count=progress.failed.count, bytes=progress.failed.bytes),
    )


def _reason(reason: Reason | None) -> ReasonData | None:
    return ReasonData(code=reason.code, message=reason.message) if reason else None


def _metadata(delivery: Delivery) -> dict[str, Any] | None:
    if delivery.metadata is None:
        return None
    metadata: dict[str, Any] = orjson.loads(delivery.metadata)
    return metadata


def _instant(moment: datetime | None) -> str | None:
    return times.encode(moment) if moment else None
