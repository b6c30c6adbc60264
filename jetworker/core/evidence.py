"""
What Jet shows of a delivery's contents, held against what an intent asked for.

Paths are compared by their ends, since storage shows its own root. Sizes are hints:
files grow.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from jetworker.core.open_intent import OpenIntent


@dataclass(frozen=True, slots=True)
class Evidence:
    """
    What Jet shows of a delivery's contents; None and empty: nothing is shown.

    *count* and *bytes* are of what was moved or skipped. An object may have *failed*
    and been moved when it was tried again. *is_whole*: the delivery has ended, nothing
    is added any more.
    """

    paths: frozenset[str] = frozenset()
    count: int | None = None
    bytes: int | None = None
    failed: int = 0
    is_whole: bool = False


NOTHING_SHOWN = Evidence()


def is_proven(evidence: Evidence, intent: OpenIntent) -> bool:
    """
    Whether the contents are exactly what *intent* asked for, and nothing is to come.

    Part of a larger delivery looks like all of a smaller one.
    """
    if not evidence.is_whole or _has_folders(intent):
        return False
    if evidence.count is None:
        return shows_all_files(evidence, intent)
    if evidence.count + evidence.failed != len(intent.objects):
        return False
    if evidence.paths:
        return shows_all_files(evidence, intent)
    return evidence.bytes == _total(intent)


def shows_all_files(evidence: Evidence, intent: OpenIntent) -> bool:
    """Whether every file that the intent asked for is shown, and no other."""
    files = _files(intent)
    return len(evidence.paths) == len(files) == len(intent.objects) and all(
        _is_one_of(path, files) for path in evidence.paths
    )


def shows_other_files(evidence: Evidence, intent: OpenIntent) -> bool:
    """Whether a file is shown that the intent did not ask for."""
    folders = frozenset(o.relative_path for o in intent.objects if o.is_directory)
    files = _files(intent)
    return any(
        not _is_one_of(path, files) and not _is_below_one_of(path, folders)
        for path in evidence.paths
    )


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
    """Yield what follows each root that a path may have, to be found in a set at once."""
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
