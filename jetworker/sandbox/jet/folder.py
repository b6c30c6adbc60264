"""
Local folders, opened so that nothing outside of them can be reached.

Every path is walked segment by segment from the folder itself, relative to the open
directory, and no segment may be a symbolic link: neither `..` nor a link that is
planted while a copy runs leads out of a profile.
"""

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from jetworker.core.command import ObjectSpec

_PART = ".jet-"
_SAYS = {
    errno.ENOENT: "does not exist at the source",
    errno.ELOOP: "is a symbolic link, which is not followed",
    errno.ENOTDIR: "is not a directory, or leads through a symbolic link",
    errno.EISDIR: "is a directory: set isDirectory",
}


@dataclass(frozen=True, slots=True)
class Found:
    """What an object stands for: a file, a directory or an error."""

    path: str
    size: int | None = None
    is_directory: bool = False
    error: str | None = None


def explain(exc: OSError) -> str:
    """Say what is wrong with a file, without naming local paths."""
    return _SAYS.get(exc.errno or 0, exc.strerror or type(exc).__name__)


def expand(root: Path, objects: Iterable[ObjectSpec]) -> list[Found]:
    """Return every file that the objects stand for, once, folders in order of name."""
    found: dict[str, Found] = {}
    for spec in objects:
        path = spec.relative_path.rstrip("/")
        for each in _look(root, path, spec):
            found.setdefault(each.path, each)
    return list(found.values())


def open_file(root: Path, path: str) -> int:
    """Open a regular file to be read."""
    with _parent(root, path) as (folder, name):
        # a pipe must not block the opening
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(name, flags, dir_fd=folder)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        number = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
        raise OSError(number, "is not a regular file")
    return descriptor


def make_directory(root: Path, path: str) -> None:
    """Make a directory and those above it."""
    with _parent(root, f"{path}/x", create=True):
        pass


@contextmanager
def new_file(root: Path, path: str, key: str) -> Iterator[int]:
    """
    Yield a new file that appears under its name when the block ends.

    Until then it has a temporary name made of *key* beside it; after an error it is
    removed and what had the name before is untouched.
    """
    with _parent(root, path, create=True) as (folder, name):
        part = f"{_PART}{key}.part"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        descriptor = os.open(part, flags, 0o666, dir_fd=folder)
        try:
            yield descriptor
            os.replace(part, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:  # cancelled too: no half a file is left
            os.unlink(part, dir_fd=folder)
            raise
        finally:
            os.close(descriptor)


def _look(root: Path, path: str, spec: ObjectSpec) -> Iterator[Found]:
    if not spec.is_directory:
        yield _look_at_file(root, path, spec.size)
        return
    pending = [path]
    while pending:
        folder = pending.pop()
        try:
            entries = list(_entries(root, folder))
        except OSError as exc:
            yield Found(folder or "/", error=explain(exc))
            continue
        yield Found(folder, is_directory=True)
        yield from (entry for entry in entries if not entry.is_directory)
        pending += [entry.path for entry in reversed(entries) if entry.is_directory]


def _look_at_file(root: Path, path: str, size: int | None) -> Found:
    try:
        descriptor = open_file(root, path)
    except OSError as exc:
        return Found(path, size, error=explain(exc))
    try:
        return Found(path, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)


def _entries(root: Path, folder: str) -> Iterator[Found]:
    with (
        _parent(root, f"{folder}/x") as (descriptor, _),
        os.scandir(descriptor) as scan,
    ):
        for entry in sorted(scan, key=lambda entry: entry.name):
            if entry.name.startswith(_PART) and entry.name.endswith(".part"):
                continue  # a copy that is under way
            path = f"{folder}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                yield Found(path, is_directory=True)
            else:
                yield Found(path, entry.stat(follow_symlinks=False).st_size)


@contextmanager
def _parent(
    root: Path, path: str, *, create: bool = False
) -> Iterator[tuple[int, str]]:
    """Yield the open directory of a path and the last name in it."""
    *above, name = path.removeprefix("/").split("/")
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for segment in above:
            lower = _enter(descriptor, segment, create=create)
            os.close(descriptor)
            descriptor = lower
        yield descriptor, _plain(name)
    finally:
        os.close(descriptor)


def _enter(folder: int, segment: str, *, create: bool) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    if create:
        with suppress(FileExistsError):
            os.mkdir(_plain(segment), dir_fd=folder)
    return os.open(_plain(segment), flags, dir_fd=folder)


def _plain(segment: str) -> str:
    """Refuse what is not the name of an entry, whoever let it come this far."""
    if segment in {"", ".", ".."} or "/" in segment or "\0" in segment:
        raise OSError(errno.EINVAL, "is not a path inside the storage profile")
    return segment
