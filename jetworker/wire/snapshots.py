"""
Snapshots: what the state topic holds under a command's id. Private, versioned.

Finished deliveries are most of a state topic and are read by the hundred thousand at
a restore, so they have a short form of their own; open ones are written as they are.

A fleet is rolled back too. A snapshot of a higher version is refused, in either form. In
a version that it knows, a field that this version does not know is kept as it was read,
and written again:

- beside the form (`open`, `end`) for good, also when the delivery ends;
- in the form until the delivery ends, and has the other one;
- in a part of a delivery (a reason, a transfer) until this version changes the part.

So a new field that may be left alone needs no new version, and one that must be heeded
does.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, TypeAlias

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from jetworker.core.command import CommandId, DeliveryId, JobId, RouteName
from jetworker.core.delivery import (
    Delivery,
    FailedObjects,
    Reason,
    ReasonCode,
    Requested,
    State,
)
from jetworker.core.finished import Brief, Finished
from jetworker.core.observation import Progress, Tally
from jetworker.core.post import Contents, Ghost, Window

BARRIER = b" barrier"
VERSION: Final = 1

Snapshot: TypeAlias = Delivery | Finished

# What a finished one holds in this version, and what is in its short form.
_FORM = frozenset({"end", "v"})
_SHORT = frozenset(
    {"id", "fp", "state", "at", "route", "seq", "try"}
    | {"job", "did", "why", "began", "doubt"}
    | {"took", "req", "got", "jet", "adopted", "meta"}
    | {"made", "ended", "sample", "folders", "posts", "failed", "on"}
)

# Where unknown fields are, what was known beside them, and the fields themselves.
_Beyond: TypeAlias = tuple[tuple[str | int, ...], dict[str, Any] | None, dict[str, Any]]
# So deep begin the parts of a delivery, which this version may write anew.
_PART = 2

_LARGEST = 2**63 - 1

# A field that is missing, of another type, or beyond what a date can be.
_UNREADABLE = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    OSError,  # a time that the platform's calendar does not reach
    RecursionError,  # a field of a newer version, nested too deeply
)


class UnreadableSnapshot(ValueError):
    """A snapshot that this version cannot read: never guess, never drop it."""


class _Open(BaseModel):
    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    v: Literal[1]
    open: Delivery


class _Exact(_Open):
    """One in which every field, of every part, is known: as nearly all are."""

    model_config = ConfigDict(extra="forbid")


_Number = Annotated[int, Field(ge=0, le=_LARGEST)]
_Seconds = Annotated[float, Field(ge=0, le=253_402_300_799)]  # to the end of 9999
_Hex = Annotated[str, Field(pattern=r"\A(?:[0-9a-f]{2})*\z")]
_STRICT = ConfigDict(extra="forbid", strict=True)

# An ordinary finished one: what fits is checked where it is parsed, what does not is read
# by `decode`, which says whether it is unusual or cannot be read.
_Needed = TypedDict(
    "_Needed",
    {
        "id": str,
        "fp": _Hex,
        "state": Literal["completed", "failed", "cancelled"],
        "at": _Seconds,
        "route": str,
        "seq": _Number,
        "try": _Number,
    },
)


class _Ordinary(_Needed, total=False):
    __pydantic_config__ = _STRICT  # type: ignore[misc]  # as pydantic wants it

    job: str
    did: str
    why: tuple[ReasonCode, str]
    began: _Seconds
    doubt: _Seconds
    took: _Seconds
    req: tuple[_Number, _Number | None]
    got: tuple[_Number, _Number, _Number, _Number, _Number, _Number]
    jet: str
    adopted: bool
    meta: str
    made: tuple[_Seconds, _Seconds]
    ended: _Seconds
    sample: _Hex
    folders: bool
    on: Annotated[int, Field(ge=0, lt=2**32)]


class _OrdinaryForm(TypedDict):
    __pydantic_config__ = _STRICT  # type: ignore[misc]  # as pydantic wants it

    end: _Ordinary
    v: Literal[1]


_ORDINARY = TypeAdapter(_OrdinaryForm).validator
_FINAL = {str(each): each for each in State if each.is_final}


def encode(snapshot: Snapshot) -> bytes:
    """Return the value of the state record."""
    if isinstance(snapshot, Finished):
        return _encode_finished(snapshot)
    return _encode_open(snapshot)


def decode(value: bytes) -> Snapshot:
    """Read a value of the state topic; raises UnreadableSnapshot."""
    try:
        if value.startswith(b'{"end":'):
            return _decode_finished(value)
        delivery = _decode_open(value)
        _check(_numbers(delivery))
    except _UNREADABLE as exc:
        msg = f"a snapshot that version {VERSION} cannot read"
        raise UnreadableSnapshot(msg) from exc
    return delivery


def brief(value: bytes) -> Brief | None:
    """
    Read in brief what `decode` would read as a finished one; None where it must.

    A fifth of the work, for nearly all of a state topic: what is unusual, what cannot be
    read and what is open is left to `decode`.
    """
    if not value.startswith(b'{"end":'):
        return None
    try:
        end: _Ordinary = _ORDINARY.validate_json(value)["end"]
    except ValidationError:
        return None
    made, did = end.get("made"), end.get("did")
    is_testifying = end["state"] == "completed" and did and not end.get("folders")
    return Brief(
        CommandId(end["id"]),
        bytes.fromhex(end["fp"]),
        _FINAL[end["state"]],
        end["at"],
        DeliveryId(did) if did is not None else None,
        end.get("on"),
        JobId(end["job"]) if "job" in end else None,
        made[0] if made is not None and is_testifying else None,
        "doubt" in end,
    )


def is_own(key: bytes | None) -> bool:
    """Whether a state record is the worker's own (a barrier), not a snapshot."""
    return key is None or key.startswith(b" ")


def _check(numbers: Iterable[int | None]) -> None:
    """
    Refuse a number that no event can be written with, and no later snapshot.

    A step of such a delivery would fail, and each of its successors: it is left as it
    is on the topic instead. Raises ValueError, or TypeError for what is no number.
    """
    for number in numbers:
        if number is not None and not 0 <= number <= _LARGEST:
            msg = "a number below zero, or of more than 64 bits"
            raise ValueError(msg)


def _numbers(delivery: Delivery) -> Iterator[int | None]:
    """Yield every number of an open one, one after another: most have few."""
    yield delivery.sequence
    yield delivery.attempt
    yield delivery.told_on
    yield delivery.requested.count
    yield delivery.requested.bytes
    if delivery.read_at is not None:
        yield from delivery.read_at
    if delivery.objects:
        sizes = [spec.size for spec in delivery.objects if spec.size is not None]
        yield from sizes
        yield sum(sizes)
    yield from _counts(delivery.progress) or ()
    for transfer in delivery.transfers:
        yield from _counts(transfer.progress) or ()
    for ghost in delivery.posts:
        yield from (ghost.attempt, ghost.contents.count, ghost.contents.size)
    for order in (delivery.pending, *delivery.orders):
        if order is not None:
            yield from (order.origin.partition, order.origin.offset)
    if delivery.failed_objects is not None:
        yield delivery.failed_objects.count


def _encode_open(delivery: Delivery) -> bytes:
    if delivery.unknown is not None:
        return _with_unknown(_open_document(delivery), delivery.unknown)
    snapshot = _Open(v=VERSION, open=delivery)
    return snapshot.model_dump_json(exclude_defaults=True).encode()


def _decode_open(value: bytes) -> Delivery:
    """Read it in one pass; a second one looks for what a newer version added."""
    try:
        delivery = _Exact.model_validate_json(value).open
    except ValidationError:
        pass
    else:
        if delivery.unknown is None:
            return delivery
    delivery = replace(_Open.model_validate_json(value).open, unknown=None)
    return replace(delivery, unknown=_unknown(value, _open_document(delivery)))


def _open_document(delivery: Delivery) -> dict[str, Any]:
    """Return an open snapshot with every field that this version knows."""
    snapshot = _Open(v=VERSION, open=delivery)
    return snapshot.model_dump(mode="json", exclude={"open": {"unknown"}})


def _encode_finished(finished: Finished) -> bytes:
    short = _short(finished)
    kept = {key: value for key, value in short.items() if value is not None}
    document = {"end": kept, "v": VERSION}
    if finished.unknown is not None:
        return _with_unknown(document, finished.unknown)
    return orjson.dumps(document)


def _decode_finished(value: bytes) -> Finished:
    document = orjson.loads(value)
    if document["v"] != VERSION:
        msg = "another version"
        raise ValueError(msg)
    short = document["end"]
    finished = _read_short(short)
    if document.keys() == _FORM and short.keys() <= _SHORT:
        return finished
    known = {"end": _short(finished), "v": VERSION}
    return replace(finished, unknown=_unknown(value, known))


def _short(finished: Finished) -> dict[str, Any]:
    return {
        "id": finished.command_id,
        "fp": finished.fingerprint.hex(),
        "state": finished.state,
        "at": finished.finished_at.timestamp(),
        "route": finished.route,
        "seq": finished.sequence,
        "try": finished.attempt,
        "job": finished.job_id,
        "did": finished.delivery_id,
        "why": _why(finished.reason),
        "began": _seconds(finished.started_at),
        "doubt": _seconds(finished.doubted_at),
        "took": _seconds(finished.accepted_at),
        "req": _requested(finished.requested),
        "got": _counts(finished.progress),
        "jet": finished.jet_state,
        "adopted": finished.adopted or None,
        "meta": finished.metadata.decode() if finished.metadata else None,
        "made": _window(finished.made_in) if finished.made_in else None,
        "ended": _seconds(finished.ended_on),
        "sample": finished.sample.hex() if finished.sample else None,
        "folders": finished.folders or None,
        "posts": [_ghost(each) for each in finished.posts] or None,
        "failed": _failed(finished.failed_objects),
        "on": finished.told_on,
    }


def _read_short(short: dict[str, Any]) -> Finished:
    why = short.get("why")
    requested, counts = short.get("req", ()), short.get("got", ())
    _check((short["seq"], short["try"], *requested, *counts))
    return Finished(
        command_id=CommandId(short["id"]),
        fingerprint=bytes.fromhex(short["fp"]),
        state=State(short["state"]),
        finished_at=_instant(short["at"]),
        route=RouteName(short["route"]),
        sequence=short["seq"],
        attempt=short["try"],
        job_id=JobId(short["job"]) if "job" in short else None,
        delivery_id=DeliveryId(short["did"]) if "did" in short else None,
        reason=Reason(ReasonCode(why[0]), why[1]) if why else None,
        started_at=_instant(short["began"]) if "began" in short else None,
        doubted_at=_instant(short["doubt"]) if "doubt" in short else None,
        accepted_at=_instant(short["took"]) if "took" in short else None,
        requested=Requested(*requested) if "req" in short else None,
        progress=_progress(counts) if "got" in short else None,
        jet_state=short.get("jet"),
        adopted=short.get("adopted", False),
        metadata=short["meta"].encode() if "meta" in short else None,
        made_in=_read_window(short["made"]) if "made" in short else None,
        ended_on=_instant(short["ended"]) if "ended" in short else None,
        sample=bytes.fromhex(short["sample"]) if "sample" in short else None,
        folders=short.get("folders", False),
        posts=tuple(_read_ghost(each) for each in short.get("posts", ())),
        failed_objects=_objects(*short["failed"]) if "failed" in short else None,
        told_on=short.get("on"),
    )


def _window(window: Window) -> list[float]:
    return [window.lo.timestamp(), window.hi.timestamp()]


def _read_window(short: list[float]) -> Window:
    lo, hi = short
    return Window(_instant(lo), _instant(hi))


def _ghost(ghost: Ghost) -> list[Any]:
    asked = ghost.contents
    contents = [asked.count, asked.size, asked.folders, asked.paths_hash.hex()]
    return [ghost.attempt, *_window(ghost.window), *contents]


def _read_ghost(short: list[Any]) -> Ghost:
    attempt, lo, hi, count, size, folders, paths_hash = short
    _check((attempt, count, size))
    contents = Contents(count, size, folders, bytes.fromhex(paths_hash))
    return Ghost(attempt, _read_window([lo, hi]), contents)


def _failed(failed: FailedObjects | None) -> list[Any] | None:
    return [failed.count, list(failed.paths)] if failed else None


def _objects(count: int, paths: list[str]) -> FailedObjects:
    _check((count,))
    return FailedObjects(count, tuple(paths))


def _why(reason: Reason | None) -> list[str] | None:
    return [reason.code, reason.message] if reason else None


def _requested(requested: Requested | None) -> tuple[int, int | None] | None:
    return (requested.count, requested.bytes) if requested else None


def _counts(progress: Progress | None) -> list[int] | None:
    if progress is None:
        return None
    tallies = (progress.transferred, progress.skipped, progress.failed)
    return [number for tally in tallies for number in (tally.count, tally.bytes)]


def _progress(counts: list[int]) -> Progress:
    moved, skipped, failed = (Tally(*counts[n : n + 2]) for n in (0, 2, 4))
    return Progress(moved, skipped, failed)


def _seconds(moment: datetime | None) -> float | None:
    return moment.timestamp() if moment else None


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _unknown(value: bytes, known: dict[str, Any]) -> bytes:
    """Return what a snapshot holds beyond what is *known* of it."""
    found = list(_beyond(json.loads(value), known, ()))
    return json.dumps(found, ensure_ascii=False, allow_nan=False).encode()


def _beyond(read: Any, known: Any, where: tuple[str | int, ...]) -> Iterator[_Beyond]:
    """Yield the unknown fields of a document and of its parts, the outer ones first."""
    if isinstance(read, dict) and isinstance(known, dict):
        fields = {name: read[name] for name in read if name not in known}
        if fields:
            yield where, known if len(where) >= _PART else None, fields
        for name in known.keys() & read.keys():
            yield from _beyond(read[name], known[name], (*where, name))
    elif isinstance(read, list) and isinstance(known, list):
        for number, pair in enumerate(zip(read, known, strict=False)):
            yield from _beyond(*pair, (*where, number))


def _with_unknown(document: dict[str, Any], unknown: bytes) -> bytes:
    """Write a snapshot with the unknown fields that it still has a place for."""
    for where, as_read, fields in json.loads(unknown):
        part = _part(document, where)
        if isinstance(part, dict) and as_read in (None, part):
            part |= fields
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return text.encode()


def _part(document: Any, where: list[str | int]) -> Any:
    """Return what is at a place of a document, None if there is no such place."""
    try:
        for name in where:
            document = document[name]
    except _UNREADABLE:
        return None
    return document
