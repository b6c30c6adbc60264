"""
Which of a command's objects failed, as far as Jet's files say.

Jet shows a file by storage's own address; ours is what follows some root in it. An
address may be escaped or not, and an accent be written in two ways.
"""

from collections.abc import Iterable, Iterator
from unicodedata import normalize
from urllib.parse import unquote, unquote_plus

from jetworker.core.command import ObjectSpec, TransferId
from jetworker.core.observation import JetFile

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
    """The objects of one command, by the ends of their addresses."""

    def __init__(self, objects: Iterable[ObjectSpec]) -> None:
        self._files: dict[str, str] = {}
        self._folders: dict[str, str] = {}
        for spec in objects:
            known = self._folders if spec.is_directory else self._files
            known[_plain(spec.relative_path)] = spec.relative_path

    def of(self, url: str) -> str | None:
        """Return what the command calls this file, None if it did not ask for it."""
        readings = tuple(dict.fromkeys((url, unquote(url), unquote_plus(url))))
        for reading in readings:
            for tail in _tails(reading):
                if _plain(tail) in self._files:
                    return self._files[_plain(tail)]
        for reading in readings:
            for tail in _tails(reading):
                for head in _heads(tail):
                    if _plain(head) in self._folders:
                        return self._folders[_plain(head)] + tail[len(head) :]
        return None


def _plain(path: str) -> str:
    return normalize("NFC", path)


def _tails(address: str) -> Iterator[str]:
    """Yield what follows each root that an address may have, the longest first."""
    _, scheme, rest = (
        address.rpartition("://") if "://" in address else ("", "", address)
    )
    whole = rest if scheme or rest.startswith("/") else f"/{rest}"
    return (whole[at:] for at, sign in enumerate(whole) if sign == "/")


def _heads(tail: str) -> Iterator[str]:
    """Yield the folders that a file is in."""
    return (tail[:at] for at, sign in enumerate(tail) if sign == "/" and at)
