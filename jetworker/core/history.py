"""What the four topics hold, as the audit reads it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Told:
    """One event: its kind, whom it is about, its data and its partition."""

    kind: str
    command_id: str | None
    partition: int
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """One record of the commands topic; *paths* are the objects it asks for."""

    partition: int
    offset: int
    command_id: str | None
    value: bytes | None
    key: bytes | None = None
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Parked:
    """One dead letter, and where it says that it comes from."""

    partition: int
    offset: int
    value: bytes | None
    key: bytes | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """One snapshot: the state and sequence that the state topic has of a command."""

    state: str
    sequence: int


@dataclass(frozen=True, slots=True)
class History:
    """
    What the four topics hold.

    *answered_below* is the group's offset by partition. *moving* are the commands whose
    snapshots changed while the topics were read.
    """

    events: Sequence[Told]
    commands: Sequence[Asked] = ()
    dead_letters: Sequence[Parked] = ()
    snapshots: Mapping[str, Kept] = field(default_factory=dict)
    answered_below: Mapping[int, int] = field(default_factory=dict)
    moving: frozenset[str] = frozenset()
