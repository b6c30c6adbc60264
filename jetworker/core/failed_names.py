"""
Which of a command's objects failed, as far as Jet's files say.

Jet shows a file by storage's own address; ours is what follows some root in it. An
address may be escaped or not, and an accent be written in two ways.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from unicodedata import normalize
from urllib.parse import unquote, unquote_plus

from jetworker.core.command import ObjectSpec, TransferId
from jetworker.core.observation import JetFile

# One that is not shown may have failed instead, or have moved what failed before.
PART_OF_FILES = "Jet shows only a part of the job's files"
_FAILED = frozenset({"FAILED", "ERROR"})


def failed_names(
    objects: Iterable[ObjectSpec],
    files: Iterable[JetFile],
    transfers: Iterable[TransferId],
) -> tuple[str, ...]:
    """
    Return the paths of what failed in *transfers*, as the command wrote them.

    Of a file inside a folder its whole path. One that another of the transfers has
    moved did not fail.
    """
    names = _Names(objects)
    ours = frozenset(transfers)
    failed: dict[str, None] = {}
    moved: set[str] = set()
    for file in files:
        if file.transfer_id not in ours:
            continue
        name = names.of(file.url)
        if name is None:
            continue
        if file.state.upper() in _FAILED:
            failed[name] = None
        else:
            moved.add(name)
    return tuple(name for name in failed if name not in moved)


class _Names:
    """
    The objects of one command, by the ends of their addresses.

    An address is asked only for ends as deep as a file that was asked for, and for parts
    as deep as a folder that begins with the same name: however deep it is itself.
    """

    def __init__(self, objects: Iterable[ObjectSpec]) -> None:
        self._files: dict[str, str] = {}
        self._folders: dict[str, str] = {}
        self._depths: set[int] = set()  # of the files
        self._depths_from: defaultdict[str, set[int]] = defaultdict(set)
        for spec in objects:
            path = _plain(spec.relative_path)
            first, *more = path.split("/")[1:]
            if spec.is_directory:
                self._folders[path] = spec.relative_path
                self._depths_from[first].add(1 + len(more))
            else:
                self._files[path] = spec.relative_path
                self._depths.add(1 + len(more))

    def of(self, url: str) -> str | None:
        """Return what the command calls this file, None if it did not ask for it."""
        readings = dict.fromkeys((url, unquote(url), unquote_plus(url)))
        addresses = [_segments(each) for each in readings]
        for segments in addresses:
            if (name := self._file(segments)) is not None:
                return name
        for segments in addresses:
            if (name := self._in_folder(segments)) is not None:
                return name
        return None

    def _file(self, segments: Sequence[str]) -> str | None:
        """Return the deepest file that an address ends with."""
        plain = [_plain(each) for each in segments]
        fitting = (depth for depth in self._depths if depth <= len(plain))
        for depth in sorted(fitting, reverse=True):
            name = self._files.get(_path(plain[-depth:]))
            if name is not None:
                return name
        return None

    def _in_folder(self, segments: Sequence[str]) -> str | None:
        """Return the path below the first folder that an address leads through."""
        plain = [_plain(each) for each in segments]
        for at, first in enumerate(plain):
            for depth in sorted(self._depths_from.get(first, ())):
                if at + depth >= len(plain):
                    break
                folder = self._folders.get(_path(plain[at : at + depth]))
                if folder is not None:
                    return folder + _path(segments[at + depth :])
        return None


def _plain(path: str) -> str:
    return normalize("NFC", path)


def _path(segments: Iterable[str]) -> str:
    return f"/{'/'.join(segments)}"


def _segments(address: str) -> list[str]:
    """Return the names that an address consists of; what comes before a / is none."""
    _, scheme, rest = address.rpartition("://")
    is_rooted = scheme or rest.startswith("/")
    return (rest if is_rooted else f"/{rest}").split("/")[1:]
