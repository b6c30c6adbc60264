"""
Snapshots: what the state topic holds under a command's id. Private, versioned.

Finished deliveries are most of a state topic and are read by the hundred thousand at
a restore, so they have a short form of their own; open ones are written as they are.
"""

from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeAlias

import orjson
from pydantic import BaseModel, ConfigDict

from jetworker.core.command import CommandId, DeliveryId, JobId, RouteName
from jetworker.core.delivery import Delivery, Reason, ReasonCode, Requested, State
from jetworker.core.finished import Finished
from jetworker.core.observation import Progress, Tally

BARRIER = b" barrier"
VERSION: Final = 1

Snapshot: TypeAlias = Delivery | Finished

# A field that is missing, of another type, or beyond what a date can be.
_UNREADABLE = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    OSError,  # a time that the platform's calendar does not reach
)


class UnreadableSnapshot(ValueError):
    """A snapshot that this version cannot read: never guess, never drop it."""


class _Open(BaseModel):
    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    v: Literal[1]
    open: Delivery


def encode(snapshot: Snapshot) -> bytes:
    """Return the value of the state record."""
    if isinstance(snapshot, Finished):
        return _encode_finished(snapshot)
    return (
        _Open(v=VERSION, open=snapshot).model_dump_json(exclude_defaults=True).encode()
    )


def decode(value: bytes) -> Snapshot:
    """Read a value of the state topic; raises UnreadableSnapshot."""
    try:
        if value.startswith(b'{"end":'):
            return _decode_finished(orjson.loads(value)["end"])
        return _Open.model_validate_json(value).open
    except _UNREADABLE as exc:
        msg = f"a snapshot that version {VERSION} cannot read"
        raise UnreadableSnapshot(msg) from exc


def is_own(key: bytes | None) -> bool:
    """Whether a state record is the worker's own (a barrier), not a snapshot."""
    return key is None or key.startswith(b" ")


def _encode_finished(finished: Finished) -> bytes:
    short = {
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
    }
    kept = {key: value for key, value in short.items() if value is not None}
    return orjson.dumps({"end": kept, "v": VERSION})


def _decode_finished(short: dict[str, Any]) -> Finished:
    why = short.get("why")
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
        requested=Requested(*short["req"]) if "req" in short else None,
        progress=_progress(short["got"]) if "got" in short else None,
        jet_state=short.get("jet"),
        adopted=short.get("adopted", False),
        metadata=short["meta"].encode() if "meta" in short else None,
    )


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
    tallies = [Tally(*counts[n : n + 2]) for n in (0, 2, 4)]
    return Progress(*tallies)


def _seconds(moment: datetime | None) -> float | None:
    return moment.timestamp() if moment else None


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
