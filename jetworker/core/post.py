"""
Posts: starts that may have been applied, and the time in which they can have been.

A post that was neither bound nor proven absent although its command went on is a
*ghost*: its delivery may exist, and must not be taken for anybody else's (R1).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from unicodedata import normalize

from jetworker.core.command import CommandId, ObjectSpec

SAMPLE_SIZE = 8


@dataclass(frozen=True, slots=True)
class Window:
    """The time of Jet's clock in which a post can have been applied, ends included."""

    lo: datetime
    hi: datetime

    def contains(self, time: datetime) -> bool:
        """Whether something that Jet made then can be the post's."""
        return self.lo <= time <= self.hi


@dataclass(frozen=True, slots=True)
class Contents:
    """
    What a post asked for, in few bytes.

    *size* is in bytes, None if any is unknown, *folders* whether any object is one.
    *paths_hash* is SHA-256 of the sorted paths: enough to ask for equality.
    """

    count: int
    size: int | None
    folders: bool
    paths_hash: bytes


@dataclass(frozen=True, slots=True)
class Ghost:
    """A post that its command left behind, as its snapshot keeps it."""

    attempt: int
    window: Window
    contents: Contents


@dataclass(frozen=True, slots=True)
class Post:
    """
    One POST that may have been applied.

    *paths* are those asked for, empty for a ghost: of it only the hash is kept.
    """

    command_id: CommandId
    attempt: int
    window: Window
    contents: Contents
    paths: frozenset[str] = frozenset()
    folders: frozenset[str] = frozenset()
    is_ghost: bool = False

    @property
    def order(self) -> tuple[datetime, CommandId, int]:
        """The place among posts of equal contents: the same for every worker."""
        return self.window.lo, self.command_id, self.attempt


def contents_of(objects: Iterable[ObjectSpec]) -> Contents:
    """Return what these objects are, in few bytes."""
    asked = tuple(objects)
    sizes = [spec.size for spec in asked if not spec.is_directory]
    known = [size for size in sizes if size is not None]
    return Contents(
        count=len(asked),
        size=sum(known) if len(known) == len(asked) else None,
        folders=any(spec.is_directory for spec in asked),
        paths_hash=hash_of(plain(spec.relative_path) for spec in asked),
    )


def hash_of(paths: Iterable[str]) -> bytes:
    """Return a hash that is equal for equal sets of paths."""
    return sha256("\n".join(sorted(paths)).encode(errors="surrogatepass")).digest()


def plain(path: str) -> str:
    """Return a path as it is compared: storage may write an accent in two ways."""
    return normalize("NFC", path)


def sample_of(objects: Iterable[ObjectSpec]) -> bytes | None:
    """Return the hash of one path with a folder in it, None if there is none."""
    deep = (spec.relative_path for spec in objects if "/" in spec.relative_path[1:])
    first = next(deep, None)
    return None if first is None else sample(plain(first))


def sample(path: str) -> bytes:
    """Return a short hash of one path."""
    return sha256(path.encode(errors="surrogatepass")).digest()[:SAMPLE_SIZE]
