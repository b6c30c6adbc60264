"""Numbered events as Kafka records: CloudEvents 1.0, binary mode."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from jetworker.core.command import CommandId, Rejection
from jetworker.core.delivery import (
    Delivery,
    Event,
    EventType,
    FailedObjects,
    Reason,
    ReasonCode,
    Transfer,
)
from jetworker.core.observation import Progress, Tally, is_final_in_jet
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


class FailedObjectsData(Data):
    """What failed: how many, and the first 20 that Jet names, as the command did."""

    count: Count
    paths: list[str]


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
    failed_objects: FailedObjectsData | None
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
    traceparent: str | None = None
    partition: int | None = None


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
        headers.get("traceparent"),
        record.partition,
    )


@dataclass(frozen=True, slots=True)
class Envelope:
    """
    What every event of one worker shares: its topic and its CloudEvents source.

    *deliveries* is the topic of the latest event of each delivery, if there is one.
    """

    topic: str
    source: str
    deliveries: str | None = None

    def event(self, event: Event, now: datetime) -> Record:
        """
        Encode one numbered event, straight to bytes.

        The models above say what it is to readers and in the schemas. What we made
        ourselves is not validated by them each time: a test does, for all of it.
        """
        delivery = event.delivery
        at = _at(now)
        kind, is_of = _KINDS[event.type]
        data = {
            "eventType": kind,
            "eventTime": at,
            "commandId": delivery.command_id,
            "sequence": delivery.sequence,
            "route": delivery.route,
            "jobId": delivery.job_id,
            "deliveryId": delivery.delivery_id,
        }
        if event.transfer is None:
            schema = _DELIVERY_SCHEMA
            data |= _of_delivery(delivery)
        else:
            schema = _TRANSFER_SCHEMA
            data |= _of_transfer(event.transfer, delivery)
        key, number = delivery.command_id.encode(), b"%d" % delivery.sequence
        headers: Headers = (
            _SPECVERSION,
            ("ce_id", b"%b:%b" % (key, number)),
            is_of,
            ("ce_source", self.source.encode()),
            ("ce_time", at.encode()),
            schema,
            _CONTENT_TYPE,
            ("ce_sequence", number),
            ("ce_subject", key),
        )
        if delivery.traceparent:
            headers += (("traceparent", delivery.traceparent.encode()),)
        value = orjson.dumps(data)
        return Record(self.topic, key, value, headers, delivery.told_on)

    def row(
        self, events: Sequence[Event], told: Sequence[Record]
    ) -> tuple[Record, ...]:
        """Return the latest of a step's *events* about the delivery itself, as a row."""
        if self.deliveries is None:
            return ()
        about = [
            record
            for event, record in zip(events, told, strict=True)
            if event.transfer is None
        ]
        return tuple(replace(each, topic=self.deliveries) for each in about[-1:])

    def gone(self, command_id: CommandId, partition: int) -> tuple[Record, ...]:
        """Return what takes the row of a delivery that is forgotten away."""
        if self.deliveries is None:
            return ()
        key = command_id.encode()
        return (Record(self.deliveries, key, None, partition=partition),)

    def answer(
        self, event_id: str, subject: "Subject", data: EventData, schema: str
    ) -> Record:
        """Encode what a record is answered with; *schema* is the name of its data's."""
        value = orjson.dumps(data.model_dump(by_alias=True))
        headers: Headers = (
            _SPECVERSION,
            ("ce_id", event_id.encode()),
            ("ce_type", data.event_type.encode()),
            ("ce_source", self.source.encode()),
            ("ce_time", data.event_time.encode()),
            _schema(schema),
            _CONTENT_TYPE,
            *subject.headers(),
        )
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


def _schema(name: str) -> tuple[str, bytes]:
    return ("ce_dataschema", f"{SCHEMAS}{name}.v1.schema.json".encode())


# What is the same for thousands of events is made once.
_SPECVERSION = ("ce_specversion", b"1.0")
_CONTENT_TYPE = ("content-type", b"application/json")
_DELIVERY_SCHEMA, _TRANSFER_SCHEMA = _schema("delivery"), _schema("transfer")
_KINDS = {
    each: (f"{PREFIX}{each}", ("ce_type", f"{PREFIX}{each}".encode()))
    for each in EventType
}
_at = lru_cache(maxsize=16)(times.encode)  # all events of a step have one time


def _of_delivery(delivery: Delivery) -> dict[str, Any]:
    """Return what `DeliveryData` has beside the rest."""
    return {
        "state": delivery.published,
        "jetState": delivery.jet_state,
        "adopted": delivery.adopted,
        "attempt": delivery.attempt,
        "requested": {
            "count": delivery.requested.count,
            "bytes": delivery.requested.bytes,
        },
        "progress": _progress(delivery.progress),
        "reason": _reason(delivery.reason),
        "failedObjects": _failed_objects(delivery.failed_objects),
        "metadata": _metadata(delivery),
        "acceptedAt": times.encode(delivery.accepted_at),
        "startedAt": _instant(delivery.started_at),
        "finishedAt": _instant(delivery.finished_at),
    }


def _of_transfer(transfer: Transfer, delivery: Delivery) -> dict[str, Any]:
    """Return what `TransferData` has beside the rest."""
    state = _transfer_state(transfer)
    return {
        "transferId": transfer.transfer_id,
        "state": state,
        "jetState": transfer.jet_state,
        "isRetry": transfer.is_retry,
        "progress": _progress(transfer.progress),
        "reason": _FAILED if state == "failed" else None,
        "metadata": _metadata(delivery),
    }


_FAILED = {
    "code": ReasonCode.JET_FAILED,
    "message": "Jet says the transfer failed",
}


def _transfer_state(transfer: Transfer) -> str:
    if not is_final_in_jet(transfer.jet_state):
        return "in_progress"
    state = (transfer.jet_state or "").lower()
    return "cancelled" if state.startswith("cancel") else state


def _progress(progress: Progress | None) -> dict[str, dict[str, int]] | None:
    if progress is None:
        return None
    return {
        "transferred": _tally(progress.transferred),
        "skipped": _tally(progress.skipped),
        "failed": _tally(progress.failed),
    }


def _tally(tally: Tally) -> dict[str, int]:
    return {"count": tally.count, "bytes": tally.bytes}


def _reason(reason: Reason | None) -> dict[str, str] | None:
    return {"code": reason.code, "message": reason.message} if reason else None


def _metadata(delivery: Delivery) -> orjson.Fragment | None:
    """Return it as it was written down: compact JSON, read once when it came in."""
    return orjson.Fragment(delivery.metadata) if delivery.metadata else None


def _failed_objects(failed: FailedObjects | None) -> dict[str, Any] | None:
    return {"count": failed.count, "paths": failed.paths} if failed else None


def _instant(moment: datetime | None) -> str | None:
    return times.encode(moment) if moment else None
