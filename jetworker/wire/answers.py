"""Answers about records: CloudEvents without a sequence, and dead letters."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, assert_never

import orjson

from jetworker.core.admission import Apply, Duplicate
from jetworker.core.command import (
    Cancel,
    CommandId,
    Origin,
    Reject,
    Resolve,
)
from jetworker.core.orders import Answered
from jetworker.wire import times
from jetworker.wire.events import (
    PREFIX,
    AppliedData,
    DuplicateData,
    Envelope,
    EventData,
    ProblemData,
    RejectedData,
    RejectionData,
    Subject,
)
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
            **_told("duplicate", origin, now),
        )
        return self._answer("duplicate", answer.command_id, data, origin)

    def applied(
        self, command: Cancel | Resolve, origin: Origin, now: datetime
    ) -> Record:
        """Encode the answer to a cancel or resolve that was carried out."""
        resolve = isinstance(command, Resolve)
        data = AppliedData(
            command_id=command.command_id,
            type="resolve" if resolve else "cancel",
            action=command.action if isinstance(command, Resolve) else None,
            **_told("applied", origin, now),
        )
        return self._answer("applied", command.command_id, data, origin)

    def rejected(
        self, answer: Reject, origin: Origin, record: Record, now: datetime
    ) -> tuple[Record, Record]:
        """Encode why *record* was not carried out, and its dead letter, unchanged."""
        data = RejectedData(
            command_id=answer.command_id,
            reason=RejectionData(code=answer.reason, message=answer.message),
            errors=tuple(ProblemData(path=p, message=m) for p, m in answer.problems),
            metadata=orjson.loads(answer.metadata) if answer.metadata else None,
            **_told("rejected", origin, now),
        )
        told = self._answer("rejected", answer.command_id, data, origin, record.key)
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
        data: EventData,
        origin: Origin,
        key: bytes | None = None,
    ) -> Record:
        return self.envelope.answer(
            f"{origin.topic}:{origin.partition}:{origin.offset}",
            Subject(command_id, origin.traceparent, key),
            data,
            f"command-{kind}",
        )


def _told(kind: str, origin: Origin, now: datetime) -> dict[str, Any]:
    """Return what every answer says: what it is, when, and about which record."""
    return {
        "event_type": f"{PREFIX}command.{kind}",
        "event_time": times.encode(now),
        "topic": origin.topic,
        "partition": origin.partition,
        "offset": origin.offset,
    }


def encode_answered(
    answered: Answered, answers: Answers, now: datetime
) -> tuple[Record, ...]:
    """Encode the answer to a record that waited for Jet; a refused one is parked."""
    waited = answered.record
    match answered.answer:
        case Apply(command):
            return (answers.applied(command, waited.origin, now),)
        case Reject() as reject:
            record = Record(
                waited.origin.topic, waited.key, waited.value, waited.headers
            )
            return answers.rejected(reject, waited.origin, record, now)
        case _:
            assert_never(answered.answer)
