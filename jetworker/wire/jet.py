"""
Jet's JSON to values: typed, and lenient as its documentation is incomplete.

Unknown fields and words are tolerated; a fact of the wrong type is absent; only what
an answer is useless without (an id, a state) is required. Numbers may be written as
decimal text. One fact is never taken for absent: a failed count that is there and
cannot be read is not zero.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, TypeGuard, TypeVar

import orjson

from jetworker.core.command import (
    DeliveryId,
    JobId,
    ObjectSpec,
    ProfileId,
    SubscriptionId,
    TransferId,
)
from jetworker.core.observation import (
    JetDelivery,
    JetFile,
    JetJob,
    JetTransfer,
    Listed,
    Progress,
    StorageProfile,
    Subscription,
    Tally,
)
from jetworker.core.route import Growing
from jetworker.wire import times

# Whatever stands before it, a scheme or none: what comes behind may be an address.
_URL = re.compile(r"(?:\b[A-Za-z][A-Za-z0-9+.-]*)?://\S*")
_LENGTH = 200  # letters of a quotation
_READ = 2000  # letters of what is quoted
_NAMES = ("message", "error_description", "error", "title", "detail")


def quote(text: str) -> str:
    """
    Return what Jet said without URLs and control characters, at most 200 long.

    Only its beginning is looked at: the time for it grows with the square of a word.
    """
    plain = _URL.sub("(url)", text[:_READ])
    printable = "".join(c if c.isprintable() else " " for c in plain)
    return " ".join(printable.split())[:_LENGTH]


def quote_answer(body: bytes) -> str:
    """Return the message of an error answer, or its beginning, quoted."""
    return quote(_message(body) or body[:_READ].decode("utf-8", "replace"))


def _message(body: bytes) -> str | None:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(answer, dict):
        return None
    found = (answer.get(name) for name in _NAMES)
    return next((each for each in found if isinstance(each, str) and each), None)


# Jet's page shows UUIDs; what has no meaning in a path is let be one too.
JET_ID_PATTERN = r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$"
_JET_ID = re.compile(JET_ID_PATTERN)


def is_jet_id(value: object) -> TypeGuard[str]:
    """Whether it can be an id of a job, delivery, transfer or storage profile."""
    return isinstance(value, str) and _JET_ID.fullmatch(value) is not None


def start_body(objects: Sequence[ObjectSpec]) -> bytes:
    """Return the body that starts a delivery."""
    return orjson.dumps({"objects": [_object(spec) for spec in objects]})


def job_body(
    name: str, source: ProfileId, destination: ProfileId, growing: Growing | None
) -> bytes:
    """Return the body that creates a manual job."""
    data: dict[str, Any] = {
        "source": {"storageProfileId": source},
        "destination": {"storageProfileId": destination},
    }
    if growing is not None:
        idle = max(1, round(growing.idle_timeout.total_seconds()))
        options: dict[str, Any] = {
            "areGrowingObjects": True,
            "growingObjects": {"growingIdleTimeoutInSeconds": idle},
        }
        if growing.part_size_mib is not None:
            options["partSizeInMiB"] = growing.part_size_mib
        data["transferOptions"] = options
    return orjson.dumps({"name": name, "actions": [{"type": "TRANSFER", "data": data}]})


def subscription_body(job_id: JobId, url: str) -> bytes:
    """Return the body that subscribes a URL to what becomes of a job's deliveries."""
    return orjson.dumps(
        {
            "eventCategory": _OF_DELIVERIES,
            "eventFilterConfig": {"jobId": job_id},
            "notificationMethod": _BY_URL,
            "notificationConfig": {"url": url},
        }
    )


_OF_DELIVERIES, _BY_URL = "JET_DELIVERY", "WEBHOOK"


def _object(spec: ObjectSpec) -> dict[str, Any]:
    body: dict[str, Any] = {"relativePath": spec.relative_path}
    if spec.size is not None:
        body["sizeInBytes"] = spec.size
    if spec.is_directory:
        body["isDirectory"] = True
    return body


# Beyond it a float is not exact, and sums of many would leave 64 bits.
_MOST = 2**53 - 1
_NO_TALLY = Tally()
_LONGEST_STATE = 64  # letters
_DECIMAL = re.compile(r"\+?([0-9]{1,20})(?:\.[0-9]{0,40})?", re.ASCII)
# Where an answer may say that there is more: the search's page shows the first two.
_TOTALS = ("totalResultCount", "totalCount", "total")
_MORE = (
    "after",
    "nextPageToken",
    "nextToken",
    "pageToken",
    "continuationToken",
    "nextCursor",
    "cursor",
    "next",
    "nextPage",
    "nextLink",
    "hasMore",
    "isTruncated",
)
_NOTHING: tuple[Any, ...] = (None, False, "", 0, "false", "null")
_T = TypeVar("_T")


class NoAnswer(ValueError):
    """The body is not what this call answers with."""


def loads(body: bytes) -> Any:
    """Parse an answer; raises NoAnswer."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        msg = "Jet's answer is not JSON"
        raise NoAnswer(msg) from exc


def is_object(body: bytes) -> bool:
    """Whether a body is a JSON object: nothing else of a refusal is Jet's own word."""
    try:
        return isinstance(orjson.loads(body), dict)
    except orjson.JSONDecodeError:
        return False


def delivery_id(answer: Any) -> DeliveryId | None:
    """Return the id that the answer to a start carries, None if there is none."""
    found = _fields(answer).get("deliveryId")
    return DeliveryId(found) if is_jet_id(found) else None


def delivery(answer: Any) -> JetDelivery:
    """Read the answer to "get delivery"."""
    fields = _fields(answer)
    transfers = [_fields(each).get("transferId") for each in _list(fields, "transfers")]
    return JetDelivery(
        DeliveryId(_id(fields, "deliveryId")),
        _state(fields),
        _time(fields.get("createdOn")),
        _progress(fields.get("deliverySummary")),
        tuple(TransferId(str(each)) for each in transfers if is_jet_id(each)),
        _time(fields.get("lastModifiedOn")),
    )


def transfer(answer: Any, asked_at: float = 0.0) -> JetTransfer:
    """Read one transfer, from its own answer or from the listing that was *asked_at*."""
    fields = _fields(answer)
    metadata = _fields(fields.get("metadata"))
    owner = metadata.get("deliveryId") or fields.get("deliveryId")
    manifest = _fields(fields.get("objectsManifest")).get("summary")
    return JetTransfer(
        TransferId(_id(fields, "transferId")),
        _state(fields),
        DeliveryId(str(owner)) if is_jet_id(owner) else None,
        _is_true(metadata.get("isRetry")) or _is_true(fields.get("isRetry")),
        _progress(fields.get("transferProgress")),
        _tally(manifest) if isinstance(manifest, dict) else None,
        asked_at,
    )


def file(answer: Any) -> JetFile:
    """Read one file of a job."""
    fields = _fields(answer)
    transfer_id = fields.get("transferId")
    return JetFile(
        _text(fields.get("url")) or "",
        TransferId(str(transfer_id)) if is_jet_id(transfer_id) else None,
        _text(fields.get("state")) or "",
        _number(fields.get("sizeInBytes")),
        _time(fields.get("createdOn")),
    )


def job(answer: Any) -> JetJob:
    """Read a job document; search results call the name `jobName`."""
    fields = _fields(answer)
    return JetJob(
        JobId(_id(fields, "jobId")),
        _text(fields.get("name")) or _text(fields.get("jobName")) or "",
        _is_true(fields.get("paused")) or fields.get("status") == "PAUSED",
        _time(fields.get("createdOn")),
        _profiles(fields),
        tuple(dict.fromkeys(_delivery_ids(fields))),
    )


def profile(answer: Any) -> StorageProfile:
    """Read one storage profile."""
    fields = _fields(answer)
    return StorageProfile(
        ProfileId(_id(fields, "storageProfileId")),
        _text(fields.get("name")) or _text(fields.get("storageProfileName")) or "",
        _text(fields.get("storageProfileType")) or "",
    )


def subscriptions(answer: Any) -> Listed[Subscription]:
    """
    Read the listing of subscriptions; those that are no URL's or of other things, too.

    One example of Jet's page wraps them in `events`, as if it were a notification.
    """
    fields = _fields(answer)
    named = (fields.get(name) for name in ("items", "subscriptions", "events"))
    found = next((each for each in named if isinstance(each, list)), None)
    return items(answer if found is None else {**fields, "items": found}, subscription)


def subscription(answer: Any) -> Subscription:
    """Read one subscription; one of another kind has neither job nor URL."""
    fields = _fields(answer)
    job_id = _fields(fields.get("eventFilterConfig")).get("jobId")
    url = _text(_fields(fields.get("notificationConfig")).get("url"))
    is_ours = fields.get("eventCategory") == _OF_DELIVERIES
    return Subscription(
        SubscriptionId(_id(fields, "subscriptionId")),
        JobId(job_id if is_ours and is_jet_id(job_id) else ""),
        url or "",
        _time(fields.get("createdOn")),
    )


def items(answer: Any, read: Callable[[Any], _T], before: int = 0) -> Listed[_T]:
    """Read a wrapped list, *before* it so many; what cannot be read is left out."""
    wrapped = answer if isinstance(answer, list) else _fields(answer).get("items")
    if not isinstance(wrapped, list):
        msg = "Jet's answer has no items"
        raise NoAnswer(msg)
    found: list[_T] = []
    for each in wrapped:
        try:
            found.append(read(each))
        except NoAnswer:
            continue
    is_end = bool(before) and not wrapped  # a token on an empty last page is no news
    has_more = _has_more(answer, before + len(wrapped), is_end=is_end)
    return Listed(tuple(found), len(wrapped), has_more)


def _has_more(answer: Any, shown: int, *, is_end: bool) -> bool:
    """Whether a listing says that it goes on, in any of the words that APIs use."""
    fields = _fields(answer)
    places = (fields, *(_fields(fields.get(x)) for x in ("paging", "pagination")))
    for place in places:
        totals = (_number(place.get(name)) for name in _TOTALS)
        if any(total is not None and total > shown for total in totals):
            return True
        if not is_end and any(place.get(name) not in _NOTHING for name in _MORE):
            return True
    return False


def _delivery_ids(document: Any) -> Iterator[DeliveryId]:
    """Yield every deliveryId anywhere, in order; iterative, depth costs nothing."""
    waiting: list[tuple[str, Any]] = [("", document)]
    while waiting:
        name, value = waiting.pop()
        key = name.lower()
        if isinstance(value, dict):
            nested = list(value.items())
            if "deliver" in key and is_jet_id(value.get("id")):
                nested.append(("deliveryId", value["id"]))
            waiting += reversed(nested)
        elif isinstance(value, list):
            waiting += [(name, each) for each in reversed(value)]
        elif is_jet_id(value) and "deliver" in key and _names_ids(key):
            yield DeliveryId(value)


def _names_ids(key: str) -> bool:
    return key.rstrip("s").endswith(
        ("deliveryid", "delivery", "deliverie", "deliveryuuid")
    )


def _profiles(fields: dict[str, Any]) -> tuple[ProfileId, ProfileId] | None:
    for action in _list(fields, "actions"):
        data = _fields(_fields(action).get("data"))
        source = _fields(data.get("source")).get("storageProfileId")
        destination = _fields(data.get("destination")).get("storageProfileId")
        if isinstance(source, str) and isinstance(destination, str):
            return ProfileId(source), ProfileId(destination)
    return None


def _progress(value: Any) -> Progress | None:
    if not isinstance(value, dict):
        return None
    failed = value.get("failed")
    return Progress(
        _tally(value.get("transferred")),
        _tally(value.get("skipped")),
        _tally(failed),
        is_failed_known=_is_count_known(failed),
    )


def _is_count_known(tally: Any) -> bool:
    """Whether a tally that is there has a count that can be read; absent is zero."""
    if tally is None:
        return True
    if not isinstance(tally, dict):
        return _number(tally) is not None
    if tally.get("count") is None:
        return tally.get("bytes") is None or _number(tally["bytes"]) == 0
    return _number(tally["count"]) is not None


def _tally(value: Any) -> Tally:
    """Read a tally; a bare number is its count."""
    fields = value if isinstance(value, dict) else {"count": value}
    count, size = _number(fields.get("count")) or 0, _number(fields.get("bytes")) or 0
    return Tally(count, size) if count or size else _NO_TALLY


def _fields(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(fields: dict[str, Any], name: str) -> list[Any]:
    value = fields.get(name)
    return value if isinstance(value, list) else []


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: Any) -> int | None:
    """Read a number that is not negative, or decimal text that is one."""
    if isinstance(value, str):
        digits = _DECIMAL.fullmatch(value.strip())
        value = int(digits[1]) if digits else None
    if type(value) is not int and not isinstance(value, float):
        return None
    return int(value) if 0 <= value <= _MOST else None


def _is_true(value: Any) -> bool:
    return value is True or (isinstance(value, str) and value.lower() == "true")


def _id(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if not is_jet_id(value):
        msg = f"Jet's answer has no {name}"
        raise NoAnswer(msg)
    return value


def _state(fields: dict[str, Any]) -> str:
    """Read a state; a word longer than any is cut: it is published and kept."""
    value = _text(fields.get("state"))
    if not value:
        msg = "Jet's answer has no state"
        raise NoAnswer(msg)
    return value[:_LONGEST_STATE]


def _time(value: Any) -> datetime | None:
    """Read RFC 3339; more than six fractional digits are cut."""
    text = _text(value)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if not times.is_plausible(moment):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
