"""The JSON data of our events, as models: what is published is what the schemas say."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from jetworker.core.command import Rejection
from jetworker.core.delivery import ReasonCode


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


class DeliveryData(Data):
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


class TransferData(Data):
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


class RecordData(Data):
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

    command_id: str | None
    reason: RejectionData
    errors: tuple[ProblemData, ...]
    metadata: dict[str, Any] | None


class DuplicateData(RecordData):
    """Data of `io.jetworker.command.duplicate`."""

    command_id: str
    state: OpenState
    delivery_id: str | None


class AppliedData(RecordData):
    """Data of `io.jetworker.command.applied`; action is null for a cancel."""

    command_id: str
    type: Literal["cancel", "resolve"]
    action: str | None
