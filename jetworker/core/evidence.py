"""
What Jet shows of a delivery's contents, and what that is worth on this job (R6).

Storage shows files under a root of its own, and writes names in its own way. Nothing of
that is documented, so it is learned from deliveries whose contents are known: one form
must explain all of them, or files prove nothing here. So with counts and bytes.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import assert_never
from urllib.parse import unquote, unquote_plus

from jetworker.core.command import DeliveryId
from jetworker.core.observation import is_final_in_jet
from jetworker.core.post import Post, hash_of, plain, sample

LEARNED_FROM = 40  # of the job's known deliveries, the last
_WITH_FOLDERS = 3  # that show one: a form that drops folders looks right on `/a.mov`
_WITH_SIZES = 10  # that show exactly the sizes asked for
SHOWED = 10  # of the last that ended, all: then files tell what is started at once
_WAITING = frozenset({"CREATED", "QUEUED", "SCHEDULED"})


class Reading(StrEnum):
    """How a storage's URL is read as a path."""

    RAW = "raw"
    UNESCAPED = "unescaped"
    BLANKS_ARE_PLUS = "unescaped, with + for a blank"


@dataclass(frozen=True, slots=True)
class Form:
    """How a job shows paths: what comes before ours, and how the rest is written."""

    reading: Reading
    prefix: str

    def path(self, url: str) -> str | None:
        """Return the path that a shown file was asked for by, None outside the root."""
        text = _read(url, self.reading)
        return text[len(self.prefix) :] if text.startswith(self.prefix) else None


@dataclass(frozen=True, slots=True)
class Shown:
    """
    What Jet shows of one delivery, when it is asked for it.

    *count* and *size* are of what was moved or skipped, None if nothing is shown.
    *files* are the URLs of its files as the job's listing has them; not all of them,
    where the listing itself says that it goes on: it *has_all_files* no more.
    """

    delivery_id: DeliveryId
    state: str = ""
    created_on: datetime | None = None
    modified_on: datetime | None = None
    count: int | None = None
    size: int | None = None
    failed: int = 0
    files: frozenset[str] = frozenset()
    has_all_files: bool = True

    @property
    def has_ended(self) -> bool:
        """Whether nothing is added any more."""
        return is_final_in_jet(self.state)

    @property
    def is_whole(self) -> bool:
        """Whether it ended with nothing failed."""
        return self.state.upper() == "COMPLETED" and not self.failed

    @property
    def has_not_begun(self) -> bool:
        """
        Whether it waits, for the first time.

        A large one is queued more than once, with files that were moved or failed.
        """
        is_untouched = not (self.count or self.size or self.failed)
        return self.state.upper() in _WAITING and is_untouched


@dataclass(frozen=True, slots=True)
class Asked:
    """
    What is still known of what a known delivery asked for, when it has ended.

    *sample* is the hash of one path with a folder in it. *fingerprint* is the same for
    the same command only.
    """

    count: int | None
    size: int | None
    sample: bytes | None
    fingerprint: bytes
    folders: bool = False


@dataclass(frozen=True, slots=True)
class Lesson:
    """One known delivery that ended whole: what it asked for, and what Jet shows."""

    asked: Asked
    shown: Shown


@dataclass(frozen=True, slots=True)
class Learned:
    """What a job is known to show; no forms: files prove nothing on it."""

    forms: frozenset[Form] = frozenset()
    sizes_tell: bool = False


def learn(lessons: Iterable[Lesson]) -> Learned:
    """Return what a job's last known deliveries teach of what it shows (R6)."""
    taught = [
        each for each in lessons if not each.asked.folders and each.shown.is_whole
    ]
    return Learned(_forms(taught), _sizes_tell(taught))


def _forms(lessons: Iterable[Lesson]) -> frozenset[Form]:
    """
    Return the forms that explain every delivery that shows files.

    One that does not fit spoils them all, and three must have shown a folder.
    """
    showing = [each for each in lessons if each.shown.files]
    if sum(each.asked.sample is not None for each in showing) < _WITH_FOLDERS:
        return frozenset()
    return frozenset.intersection(*(forms_of(each) for each in showing))


def files_tell(lessons: Iterable[Lesson]) -> bool:
    """
    Whether starts that are lost together would be told apart by their files.

    *lessons* come newest first. The path form is learned, and the last of them showed
    it: one whose files are not shown might be what a lost one will be.
    """
    taught = [
        each for each in lessons if not each.asked.folders and each.shown.is_whole
    ]
    latest = taught[:SHOWED]
    if len(latest) < SHOWED or not all(each.shown.files for each in latest):
        return False
    return bool(_forms(taught))


def forms_of(lesson: Lesson) -> frozenset[Form]:
    """Return the forms in which all of a delivery's files, and no others, are shown."""
    urls, count = lesson.shown.files, lesson.asked.count
    exact = frozenset(
        form
        for reading in (Reading.RAW, Reading.UNESCAPED)
        for form in _fitting(urls, count, lesson.asked.sample, reading)
    )
    return exact or frozenset(
        _fitting(urls, count, lesson.asked.sample, Reading.BLANKS_ARE_PLUS)
    )


def _fitting(
    urls: frozenset[str], count: int | None, taken: bytes | None, reading: Reading
) -> Iterator[Form]:
    texts = {_read(url, reading) for url in urls}
    if len(texts) != count:
        return
    common = _common(min(texts), max(texts))
    for at, sign in enumerate(common + "/"):
        if sign != "/" or not all(text[at : at + 1] == "/" for text in texts):
            continue
        tails = (text[at:] for text in texts)
        if taken is None:
            fits = all("/" not in tail[1:] for tail in tails)
        else:
            fits = any(sample(tail) == taken for tail in tails)
        if fits:
            yield Form(reading, common[:at])


def _common(first: str, last: str) -> str:
    """Return how all of the texts between these two begin."""
    pairs = enumerate(zip(first, last, strict=False))
    end = next((at for at, (one, other) in pairs if one != other), None)
    return first[:end] if end is not None else min(first, last, key=len)


def _sizes_tell(lessons: list[Lesson]) -> bool:
    """
    Whether count and bytes tell deliveries of this job apart.

    Ten show exactly what was asked for, none shows other, and no two different commands
    have the same. Frames of constant size and growing files prove nothing.
    """
    of: dict[tuple[int, int], bytes] = {}
    number = 0
    for each in lessons:
        count, size = each.asked.count, each.asked.size
        if count is None or size is None or each.shown.count is None:
            continue
        if (each.shown.count, each.shown.size) != (count, size):
            return False
        if of.setdefault((count, size), each.asked.fingerprint) != (
            each.asked.fingerprint
        ):
            return False
        number += 1
    return number >= _WITH_SIZES


def path_hash(shown: Shown, form: Form) -> bytes | None:
    """Return the hash of a delivery's paths, None if one is not below the root."""
    paths = [form.path(url) for url in shown.files]
    known = [path for path in paths if path is not None]
    return hash_of(known) if len(known) == len(paths) else None


def shows_another(shown: Shown, post: Post, forms: frozenset[Form]) -> bool:
    """
    Whether a file is shown that this post did not ask for, in every form (R3.2).

    Not "other files than ours": one that failed half-way shows only some of ours. And
    not one of ours with + for a blank: names without one teach the same forms on a job
    that writes blanks so.
    """
    return bool(forms) and all(_has_another(shown, post, form) for form in forms)


def _has_another(shown: Shown, post: Post, form: Form) -> bool:
    if "/" in post.folders:
        return False
    paths = (form.path(url) for url in shown.files)
    others = [
        path
        for path in paths
        if path is not None and not _is_asked_for(path, post.paths, post.folders)
    ]
    if not all(" " in _blanked(path) for path in others):
        return True
    asked, folders = (frozenset(map(_blanked, x)) for x in (post.paths, post.folders))
    return any(not _is_asked_for(_blanked(path), asked, folders) for path in others)


def _is_asked_for(path: str, paths: frozenset[str], folders: frozenset[str]) -> bool:
    return path in paths or _is_below(path, folders)


def _blanked(path: str) -> str:
    """Return a path in which a blank and + are alike: a name may have both."""
    return path.replace("+", " ")


def _is_below(path: str, folders: frozenset[str]) -> bool:
    """Whether it lies in one of the folders, or is one."""
    if not folders:
        return False
    heads = (path[:at] for at, sign in enumerate(path) if sign == "/" and at)
    return path in folders or any(head in folders for head in heads)


def _read(url: str, reading: Reading) -> str:
    """Read a URL, or a path without its first sign, as text that is compared."""
    text = url if "://" in url or url.startswith("/") else f"/{url}"
    match reading:
        case Reading.RAW:
            return plain(text)
        case Reading.UNESCAPED:
            return plain(unquote(text))
        case Reading.BLANKS_ARE_PLUS:
            return plain(unquote_plus(text))
        case _:
            assert_never(reading)
