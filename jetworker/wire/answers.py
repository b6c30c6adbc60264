"""Answers about records: CloudEvents without a sequence, and dead letters."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from jetworker.core.command import Cancel, CommandId, Origin, Resolve
from jetworker.core.reception import Duplicate, Reject
from jetworker.wire.event_models import (
    AppliedData,
    Data,
    DuplicateData,
    ProblemData,
    RejectedData,
    RejectionData,
)
from jetworker.wire.events import Envelope, Subject
from jetworker.wire.record import Record


@dataclass(frozen=True, slots=True)
class Answers:
    """Encodes what a record is answered with, and parks what is not carried out."""

    envelope: Envelope
    dead_letters: str

    def duplicate(self, answer: Duplicate, origin: Origin, now: datetime) -> Record:
        """Encode the answer to a command that came before."""
        data = DuplicateData(
            command_id=answer.command_id,
            state=answer.state,
            delivery_id=answer.delivery_id,
            **_coordinates(origin),
        )
        return self._answer("duplicate", answer.command_id, data, origin, now)

    def applied(
        self, command: Cancel | Resolve, origin: Origin, now: datetime
    ) -> Record:
        """Encode the answer to a cancel or resolve that was carried out."""
        resolve = isinstance(command, Resolve)
        data = AppliedData(
            command_id=command.command_id,
            type="resolve" if resolve else "cancel",
            action=command.action if isinstance(command, Resolve) else None,
            **_coordinates(origin),
        )
        return self._answer("applied", command.command_id, data, origin, now)

    def rejected(
        self, answer: Reject, origin: Origin, record: Record, now: datetime
    ) -> tuple[Record, Record]:
        """Encode why *record* was not carried out, and its dead letter, unchanged."""
        data = RejectedData(
            command_id=answer.command_id,
            reason=RejectionData(code=answer.reason, message=answer.message),
            errors=tuple(ProblemData(path=p, message=m) for p, m in answer.problems),
            metadata=orjson.loads(answer.metadata) if answer.metadata else None,
            **_coordinates(origin),
        )
        told = self._answer(
            "rejected", answer.command_id, data, origin, now, record.key
        )
        return told, self._dead_letter(answer, origin, record)

    def _dead_letter(self, answer: Reject, origin: Origin, record: Record) -> Record:
        coordinates = (
            ("jetworker-reason", answer.reason.encode()),
            ("jetworker-message", answer.message.encode()),
            ("jetworker-topic", origin.topic.encode()),
            ("jetworker-partition", str(origin.partition).encode()),
            ("jetworker-offset", str(origin.offset).encode()),
        )
        headers = (*record.headers, *coordinates)
        return Record(self.dead_letters, record.key, record.value, headers)

    def _answer(
        self,
        kind: str,
        command_id: CommandId | None,
        data: Data,
        origin: Origin,
        now: datetime,
        key: bytes | None = None,
    ) -> Record:
        return self.envelope.record(
            f"command.{kind}",
            f"{origin.topic}:{origin.partition}:{origin.offset}",
            Subject(command_id, origin.traceparent, key),
            (data, f"command-{kind}"),
            now,
        )


def _coordinates(origin: Origin) -> dict[str, Any]:
    return {
        "topic": origin.topic,
        "partition": origin.partition,
        "offset": origin.offset,
    }
