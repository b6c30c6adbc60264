"""
Posts: starts that may have been applied, and the time in which they can have been.

A post that was neither bound nor proven absent although its command went on is a
*ghost*: its delivery may exist, and must not be taken for anybody else's (R1).
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import TypeAlias
from unicodedata import normalize

from jetworker.core.command import CommandId, ObjectSpec

SAMPLE_SIZE = 8  # bytes of a hash
_SEARCHED = 50  # posts, for a rival's name in a message

Sizes: TypeAlias = tuple[int | None, int | None]
"""Count and bytes, each None where it is not known."""


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

    @property
    def sizes(self) -> Sizes:
        """Count and bytes, as far as they are known."""
        return self.count, self.size

    @property
    def like_sizes(self) -> frozenset[Sizes]:
        """The sizes of what may have the same count and bytes: what is unknown may be."""
        return frozenset({self.sizes, (self.count, None), (None, None)})


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

    *paths* are those asked for, empty for a ghost: of it only the hash is kept. One that
    *is_in_flight* may be answered yet: whoever has sent it may know its delivery already.
    """

    command_id: CommandId
    attempt: int
    window: Window
    contents: Contents
    paths: frozenset[str] = frozenset()
    folders: frozenset[str] = frozenset()
    is_ghost: bool = False
    is_in_flight: bool = False

    @property
    def order(self) -> tuple[datetime, CommandId, int]:
        """The place among posts of equal contents: the same for every worker."""
        return self.window.lo, self.command_id, self.attempt


class _Windows:
    """Counts the windows that contain a time, without asking each."""

    def __init__(self) -> None:
        self._los: list[datetime] = []
        self._his: list[datetime] = []

    def add(self, post: Post) -> None:
        self._los.append(post.window.lo)
        self._his.append(post.window.hi)

    def sort(self) -> None:
        self._los.sort()
        self._his.sort()

    def over(self, time: datetime) -> int:
        return bisect_right(self._los, time) - bisect_left(self._his, time)


class Posts:
    """The posts of a job that are neither bound nor proven absent: rivals (R1)."""

    def __init__(self, posts: Iterable[Post]) -> None:
        self.all = tuple(sorted(posts, key=lambda post: post.order))
        self._of: defaultdict[CommandId, list[Post]] = defaultdict(list)
        self._equal: defaultdict[bytes, list[Post]] = defaultdict(list)
        self._windows = _Windows()
        self._by_sizes: defaultdict[Sizes, _Windows] = defaultdict(_Windows)
        for post in self.all:
            self._of[post.command_id].append(post)
            contents = post.contents
            if not contents.folders:
                self._equal[contents.paths_hash].append(post)
            self._windows.add(post)
            sizes = (None, None) if contents.folders else contents.sizes
            self._by_sizes[sizes].add(post)
        for windows in (self._windows, *self._by_sizes.values()):
            windows.sort()

    def of(self, command_id: CommandId) -> tuple[Post, ...]:
        """Return the posts of one command."""
        return tuple(self._of.get(command_id, ()))

    def equal(self, kind: bytes) -> Sequence[Post]:
        """Return the posts whose paths have this hash, in their order."""
        return self._equal.get(kind, ())

    def over(self, time: datetime) -> int:
        """Return how many of the posts can have made a delivery that Jet made then."""
        return self._windows.over(time)

    def that_may_have(self, time: datetime, contents: Contents) -> int:
        """Return how many of those *over* a time may have asked for the same sizes."""
        alike = contents.like_sizes & self._by_sizes.keys()
        return sum(self._by_sizes[sizes].over(time) for sizes in alike)

    def rival(self, time: datetime, command_id: CommandId) -> CommandId | None:
        """Name another command that can have made it, for a person to read."""
        for post in self.all[:_SEARCHED]:
            if post.command_id != command_id and post.window.contains(time):
                return post.command_id
        return None


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
