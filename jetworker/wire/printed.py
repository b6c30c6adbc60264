"""What the commands print with `--json`, as models: the schemas are made from them."""

from typing import Annotated, Literal

from pydantic import Field

from jetworker.wire.events import Count, Data


class ProfileData(Data):
    """A storage profile of Jet."""

    profile_id: str
    name: str
    type: str


class ProfilesData(Data):
    """What `jetworker profiles list` prints."""

    profiles: tuple[ProfileData, ...]


class JobData(Data):
    """A manual job of Jet; what `jetworker jobs create`, `pause` and `resume` print."""

    job_id: str
    name: str
    paused: bool


class JobsData(Data):
    """What `jetworker jobs list` prints."""

    jobs: tuple[JobData, ...]


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

    Holds is false also where there was nothing to check it by: those are unchecked.
    """

    holds: bool
    invariants: tuple[InvariantData, ...]
    violations: tuple[ViolationData, ...]
    unchecked: Annotated[
        tuple[str, ...], Field(description="What any command would have checked.")
    ]


class WrittenData(Data):
    """What `jetworker schemas` prints: the files that it wrote."""

    files: tuple[str, ...]
