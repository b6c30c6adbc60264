"""
What Jet shows of a delivery's contents, held against what an intent asked for.

Paths are compared by their ends, since storage shows its own root. Sizes are hints:
files grow.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from jetworker.core.command import CommandId, DeliveryId, ObjectSpec


@dataclass(frozen=True, slots=True)
class OpenIntent:
    """A start of some command on this job whose outcome is not known (yet)."""

    command_id: CommandId
    written_at: datetime
    jet_time: datetime | None
    objects: tuple[ObjectSpec, ...]
    after: DeliveryId | None = None

    @property
    def contents(self) -> tuple[tuple[str, int | None, bool], ...]:
        """What it asked for, comparable."""
        return tuple((o.relative_path, o.size, o.is_directory) for o in self.objects)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What Jet shows of a delivery's contents; None and empty: nothing is shown."""

    paths: frozenset[str] = frozenset()
    count: int | None = None
    bytes: int | None = None


NOTHING_SHOWN = Evidence()


def is_proven(evidence: Evidence, intent: OpenIntent) -> bool:
    """Whether what Jet shows of the contents is exactly what *intent* asked for."""
    files = _files(intent)
    if evidence.paths:
        return len(evidence.paths) == len(files) == len(intent.objects) and all(
            _is_one_of(path, files) for path in evidence.paths
        )
    whole = evidence.count == len(intent.objects) == len(files)
    return whole and evidence.bytes is not None and evidence.bytes == _total(intent)


def shows_other_files(evidence: Evidence, intent: OpenIntent) -> bool:
    """Whether a file is shown that the intent did not ask for."""
    folders = frozenset(o.relative_path for o in intent.objects if o.is_directory)
    files = _files(intent)
    return any(
        not _is_one_of(path, files) and not _is_below_one_of(path, folders)
        for path in evidence.paths
    )


def is_too_much(evidence: Evidence, intent: OpenIntent) -> bool:
    """Whether Jet has moved more than the intent asked for."""
    total = None if _has_folders(intent) else _total(intent)
    is_more = total is not None and (evidence.bytes or 0) > total
    return is_more or are_too_many(evidence, intent)


def are_too_many(evidence: Evidence, intent: OpenIntent) -> bool:
    """Whether Jet has moved more objects than the intent asked for."""
    return not _has_folders(intent) and (evidence.count or 0) > len(intent.objects)


def _is_one_of(shown: str, files: frozenset[str]) -> bool:
    """Whether a path that storage shows is one of those asked for, below some root."""
    return any(tail in files for tail in _tails(shown))


def _is_below_one_of(shown: str, folders: frozenset[str]) -> bool:
    """Whether it is one of the folders asked for or lies in one, below some root."""
    return "/" in folders or any(
        head in folders for tail in _tails(shown) for head in _heads(tail)
    )


def _tails(path: str) -> Iterator[str]:
    """Yield what follows each root that a path may have: ten thousand are looked up."""
    whole = path if path.startswith("/") else f"/{path}"
    return (whole[at:] for at, sign in enumerate(whole) if sign == "/")


def _heads(path: str) -> Iterator[str]:
    yield path
    yield from (path[:at] for at, sign in enumerate(path) if sign == "/" and at)


def _files(intent: OpenIntent) -> frozenset[str]:
    return frozenset(o.relative_path for o in intent.objects if not o.is_directory)


def _has_folders(intent: OpenIntent) -> bool:
    return any(spec.is_directory for spec in intent.objects)


def _total(intent: OpenIntent) -> int | None:
    total = 0
    for spec in intent.objects:
        if spec.size is None:
            return None
        total += spec.size
    return total
