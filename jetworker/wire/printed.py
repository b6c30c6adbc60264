"""What the commands print with `--json`, as models: the schemas are made from them."""

from datetime import datetime
from typing import Annotated, Any, Literal

import orjson
from pydantic import Field

from jetworker.core.delivery import Delivery
from jetworker.core.finished import Finished
from jetworker.core.observation import Tally
from jetworker.wire import times
from jetworker.wire.events import (
    Count,
    Data,
    FailedObjectsData,
    Instant,
    OpenState,
    ProgressData,
    ReasonData,
    RequestedData,
    TallyData,
)


class ProfileData(Data):
    """A storage profile of Jet."""

    profile_id: str
    name: str
    type: str


class ProfilesData(Data):
    """What `jetworker profiles list` prints."""

    profiles: tuple[ProfileData, ...]


class PublishedSubjectData(Data):
    """A subject of a Schema Registry; *registered*: it was not there before."""

    subject: str
    version: int
    registered: bool


class PublishedData(Data):
    """What `jetworker schemas publish` prints."""

    subjects: tuple[PublishedSubjectData, ...]


class UnsubscribedData(Data):
    """A subscription that was removed."""

    subscription_id: str
    job_id: str


class UnsubscribedAllData(Data):
    """What `jetworker jobs unsubscribe` prints."""

    unsubscribed: tuple[UnsubscribedData, ...]


class JobData(Data):
    """A manual job of Jet; what `jetworker jobs create`, `pause` and `resume` print."""

    job_id: str
    name: str
    paused: bool


class JobsData(Data):
    """What `jetworker jobs list` prints."""

    jobs: tuple[JobData, ...]


class ObservedJobData(Data):
    """
    What `jetworker jobs observe` prints: what Jet shows of the deliveries known to us.

    *meaning* is what a lost start would become now; *missing* are the proofs that its
    absence would lack, *listing* and *exclusive* whether these may be stated.
    """

    route: str
    job_id: str
    looks: Count
    listed: Count
    known: Count
    known_listed: Count
    gaps: tuple[str, ...]
    oldest_listed: str | None
    states: dict[str, Count]
    path_forms: tuple[str, ...]
    sizes_tell: bool
    clock_difference_seconds: float | None
    listed_after_seconds: float | None
    missing: tuple[str, ...]
    meaning: str
    listing: str
    exclusive: str


class TopicData(Data):
    """One topic; created is false where it existed and was left as it is."""

    name: str
    created: bool
    partitions: Count


class TopicsData(Data):
    """What `jetworker topics create` prints; problems is what is wrong with them."""

    topics: tuple[TopicData, ...]
    problems: tuple[str, ...]


class CheckedData(Data):
    """One thing that was checked; message is what to do, or what is worth knowing."""

    name: str
    ok: bool
    message: str | None


class ChecksData(Data):
    """What `jetworker check` prints."""

    ok: bool
    checks: tuple[CheckedData, ...]


class SentData(Data):
    """What `jetworker send` prints: the command, and where it was published."""

    command_id: str
    partition: Count
    offset: Count


class InvariantData(Data):
    """A guarantee: how often it was checked, and how often it did not hold."""

    name: str
    verdict: Literal["ok", "violated", "not checked"]
    checked: Count
    violated: Count


class ViolationData(Data):
    """One place where a guarantee did not hold."""

    invariant: str
    what: str


class AuditData(Data):
    """
    What `jetworker audit` prints.

    Holds is false also where there was nothing to check it by: those are unchecked, or
    unreadable.
    """

    holds: bool
    invariants: tuple[InvariantData, ...]
    violations: tuple[ViolationData, ...]
    unchecked: Annotated[
        tuple[str, ...], Field(description="What any command would have checked.")
    ]
    unreadable: Annotated[
        tuple[str, ...],
        Field(description="Commands whose snapshot this version cannot read."),
    ]


class WrittenData(Data):
    """What `jetworker schemas` prints: the files that it wrote."""

    files: tuple[str, ...]


class ListedData(Data):
    """
    A line of `jetworker list`: where a command is; the fields of `delivery.*`.

    What version 0.1.0 did not keep of an ended command is null.
    """

    command_id: str
    sequence: Annotated[int, Field(ge=1)]
    route: str
    job_id: str | None
    delivery_id: str | None
    state: OpenState
    jet_state: OpenState | None
    adopted: bool
    attempt: Count
    requested: RequestedData | None
    progress: ProgressData | None
    reason: Annotated[
        ReasonData | None,
        Field(
            description="As told at changedAt. Of a command that waits it may be over by"
            " now, which is not told: it waits for its turn then."
        ),
    ]
    failed_objects: FailedObjectsData | None
    metadata: dict[str, Any] | None
    accepted_at: Instant | None
    started_at: Instant | None
    finished_at: Instant | None
    changed_at: Instant


class ExplainedData(Data):
    """What `jetworker explain` prints; delivery is null where nobody knows the id."""

    command_id: str
    partition: Count | None
    delivery: ListedData | None
    next: Annotated[str, Field(description="What happens next, or is to be done.")]
    commands: Annotated[
        tuple[str, ...], Field(description="Command lines that may be next.")
    ]


class RefusalData(Data):
    """Why an order was refused."""

    code: str
    message: str


class OrderedData(Data):
    """One order; the answer is null where nothing was published or none came."""

    command_id: str
    route: str
    state: OpenState
    answer: Literal["applied", "rejected"] | None
    reason: RefusalData | None


class OrdersData(Data):
    """What `jetworker cancel` and `resolve` print of all that fit a state or a route."""

    type: Literal["cancel", "resolve"]
    action: str | None
    dry_run: bool
    orders: tuple[OrderedData, ...]


class ResentData(Data):
    """One command that was published again under a new id."""

    command_id: str
    resent_as: str
    objects: Count
    partition: Count
    offset: Count
    expiry_left_out: Annotated[
        bool, Field(description="Its expiresAt had passed and is not in the new one.")
    ]


class ResendData(Data):
    """What `jetworker resend` prints."""

    resent: tuple[ResentData, ...]


class WhereData(Data):
    """Where a record is, or was."""

    topic: str
    partition: Count
    offset: Count


class LetterData(Data):
    """A line of `jetworker dead-letters list`."""

    position: Annotated[
        str, Field(description="PARTITION:OFFSET in the dead-letter topic.")
    ]
    parked_at: Instant
    reason: str
    message: str
    origin: Annotated[WhereData, Field(description="The record that was parked.")]
    command_id: Annotated[str | None, Field(description="Null if it is unreadable.")]
    replayed_from: Annotated[
        str | None, Field(description="The letter whose replay was parked again.")
    ]
    replayed_at: Annotated[Instant | None, Field(description="When it was replayed.")]


class HeaderData(Data):
    """A header; a value that is not UTF-8 is in base64."""

    name: str
    value: str | None
    base64: str | None


class ShownLetterData(LetterData):
    """What `jetworker dead-letters show` prints; bytes that are no UTF-8 are in base64."""

    key: str | None
    key_base64: str | None
    value: str | None
    value_base64: str | None
    headers: tuple[HeaderData, ...]


class ReplayedData(Data):
    """One letter, and where its record is now; null where it was not published."""

    position: str
    reason: str
    origin: WhereData
    published: WhereData | None


class ReplayData(Data):
    """What `jetworker dead-letters replay` prints; skipped were replayed before."""

    dry_run: bool
    replayed: tuple[ReplayedData, ...]
    skipped: tuple[str, ...]


class RebuiltPartitionData(Data):
    """A state partition that was lost, and what became of the commands that it knew."""

    partition: Count
    why: Annotated[str, Field(description="How it is known that it is lost.")]
    followed: Annotated[Count, Field(description="Open deliveries, followed again.")]
    remembered: Annotated[Count, Field(description="Commands that had ended.")]
    held: Annotated[Count, Field(description="Of which nobody knows what was sent.")]
    goes_on_at: Annotated[
        Count, Field(description="Offset of the commands that is read next.")
    ]
    gone_before: Annotated[
        Count | None,
        Field(description="Retention took the commands before it; null: none."),
    ]
    rebuilt: Annotated[bool, Field(description="False in a dry run.")]


class RebuildData(Data):
    """What `jetworker state rebuild` prints: the partitions that were lost, if any."""

    dry_run: bool
    partitions: tuple[RebuiltPartitionData, ...]


def listed(snapshot: Delivery | Finished, changed_at: datetime) -> ListedData:
    """Return a command as a list shows it."""
    state = snapshot.published if isinstance(snapshot, Delivery) else snapshot.state
    requested, progress = snapshot.requested, snapshot.progress
    reason, failed = snapshot.reason, snapshot.failed_objects
    return ListedData(
        command_id=snapshot.command_id,
        sequence=snapshot.sequence,
        route=snapshot.route,
        job_id=snapshot.job_id,
        delivery_id=snapshot.delivery_id,
        state=state,
        jet_state=snapshot.jet_state,
        adopted=snapshot.adopted,
        attempt=snapshot.attempt,
        requested=RequestedData(count=requested.count, bytes=requested.bytes)
        if requested
        else None,
        progress=ProgressData(
            transferred=_tally(progress.transferred),
            skipped=_tally(progress.skipped),
            failed=_tally(progress.failed),
        )
        if progress
        else None,
        reason=ReasonData(code=reason.code, message=reason.message) if reason else None,
        failed_objects=FailedObjectsData(count=failed.count, paths=list(failed.paths))
        if failed
        else None,
        metadata=orjson.loads(snapshot.metadata) if snapshot.metadata else None,
        accepted_at=_instant(snapshot.accepted_at),
        started_at=_instant(snapshot.started_at),
        finished_at=_instant(snapshot.finished_at),
        changed_at=times.encode(changed_at),
    )


def _tally(tally: Tally) -> TallyData:
    return TallyData(count=tally.count, bytes=tally.bytes)


def _instant(moment: datetime | None) -> str | None:
    return times.encode(moment) if moment else None
