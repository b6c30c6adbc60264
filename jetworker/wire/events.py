"""Numbered events as Kafka records: CloudEvents 1.0, binary mode."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from jetworker.core.command import CommandId
from jetworker.core.delivery import (
    Delivery,
    Event,
    Reason,
    ReasonCode,
    Transfer,
)
from jetworker.core.jet_state import is_final_in_jet
from jetworker.core.observation import Progress
from jetworker.wire import times
from jetworker.wire.event_models import (
    Data,
    DeliveryData,
    ProgressData,
    ReasonData,
    RequestedData,
    TallyData,
    TransferData,
)
from jetworker.wire.record import Headers, Record

PREFIX = "io.jetworker."
SCHEMAS = "https://jetworker.io/schemas/events/"


@dataclass(frozen=True, slots=True)
class Envelope:
    """What every event of one worker shares: its topic and its CloudEvents source."""

    topic: str
    source: str

    def event(self, event: Event, now: datetime) -> Record:
        """Encode one numbered event."""
        delivery = event.delivery
        data = _transfer(event) if event.transfer else _delivery(delivery)
        kind = "transfer" if event.transfer else "delivery"
        extra = (("ce_sequence", str(delivery.sequence).encode()),)
        return self.record(
            event.type,
            f"{delivery.command_id}:{delivery.sequence}",
            Subject(delivery.command_id, delivery.traceparent),
            (data, kind),
            now,
            extra,
        )

    def record(
        self,
        kind: str,
        event_id: str,
        subject: "Subject",
        body: tuple[Data, str],
        now: datetime,
        extra: Headers = (),
    ) -> Record:
        """Encode one CloudEvent; *body* is its data and the name of its schema."""
        data, schema = body
        headers: Headers = (
            ("ce_specversion", b"1.0"),
            ("ce_id", event_id.encode()),
            ("ce_type", f"{PREFIX}{kind}".encode()),
            ("ce_source", self.source.encode()),
            ("ce_time", times.encode(now).encode()),
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


def _delivery(delivery: Delivery) -> DeliveryData:
    return DeliveryData(
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


def _transfer(event: Event) -> TransferData:
    assert event.transfer is not None
    delivery, transfer = event.delivery, event.transfer
    return TransferData(
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
