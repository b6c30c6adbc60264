"""Poison: whatever a record holds, it is read or refused, and its answer stays small."""

import json
import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetworker.core.command import ObjectSpec, Reject, Rejection, Send
from jetworker.core.errors import InvalidRecord
from jetworker.wire.commands import MAX_BYTES, decode, encode

STRUCTURED = [("content-type", b"application/cloudevents+json")]
ENVELOPE = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
SEND: dict[str, Any] = {
    "commandId": "c-1",
    "route": "archive",
    "objects": [{"relativePath": "/a.mov"}],
}


def read(value: bytes, headers: Any = ()) -> Any:
    return decode(value, headers, max_objects=10_000)


def refused(value: bytes, headers: Any = ()) -> Reject:
    with pytest.raises(InvalidRecord) as caught:
        read(value, headers)
    return caught.value.reject


def nested(depth: int, *, name: str = "metadata") -> bytes:
    """Return a command that has *depth* arrays in each other."""
    head = json.dumps(SEND).encode()[:-1]
    return head + b',"%s":{"x":' % name.encode() + b"[" * depth + b"]" * depth + b"}}"


@pytest.mark.parametrize("depth", [253, 254, 255, 300, 980, 1020, 1025, 5000])
def test_what_is_nested_too_deeply_to_be_echoed_is_refused_when_read(
    depth: int,
) -> None:
    """JSON is read deeper than it is written: the event could not be encoded."""
    assert refused(nested(depth)).reason is Rejection.INVALID_JSON


def test_what_can_be_echoed_is_read_however_deep() -> None:
    assert isinstance(read(nested(252)), Send)


@pytest.mark.parametrize("depth", [253, 300, 980])
def test_a_deep_envelope_is_refused_too(depth: int) -> None:
    inner = b"[" * depth + b"]" * depth
    value = json.dumps(ENVELOPE).encode()[:-1] + b',"data":' + inner + b"}"

    assert refused(value, STRUCTURED).reason is Rejection.INVALID_JSON


@pytest.mark.parametrize(
    "expires_at",
    [
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "0000-01-01T00:00:00Z",
        "2026-12-31T24:00:01Z",
        "٢٠٢٦-12-01T00:00:00Z",
        "2026-12-01 00:00:00Z",
        "2026-12-01T00:00:00+24:00",
        "2026-12-01T00:00:00Z\n",
    ],
)
def test_an_instant_that_utc_does_not_have_is_a_broken_rule(expires_at: str) -> None:
    error = refused(json.dumps(SEND | {"expiresAt": expires_at}).encode())

    assert error.reason is Rejection.INVALID_COMMAND
    assert [path for path, _ in error.problems] == ["/expiresAt"]


def test_every_offset_and_fraction_is_the_same_instant() -> None:
    at = datetime(2026, 12, 1, tzinfo=UTC)
    for text in ("2026-12-01t00:00:00z", "2026-11-30T23:00:00.000000000-01:00"):
        assert read(json.dumps(SEND | {"expiresAt": text}).encode()).expires_at == at


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**39, -(10**39)])
def test_a_number_that_would_be_echoed_changed_is_refused(number: int) -> None:
    value = json.dumps(SEND | {"metadata": {"n": number}}).encode()

    assert refused(value).reason is Rejection.INVALID_JSON


@pytest.mark.parametrize("number", [2**64 - 1, -(2**63)])
def test_a_number_that_can_be_held_is_echoed_as_it_was(number: int) -> None:
    send = read(json.dumps(SEND | {"metadata": {"n": number}}).encode())

    assert json.loads(send.metadata) == {"n": number}


@pytest.mark.parametrize(
    "fields",
    [
        SEND | {"k" * 900_000: 1},
        SEND | {f"{number}" * 3000: 1 for number in range(60)},
        SEND | {"objects": [{"relativePath": "/a", "k" * 900_000: 1}]},
        SEND | {"type": "k" * 900_000},
        SEND | {"route": "k" * 900_000},
        SEND | {"objects": [{"relativePath": "k" * 60}] * 10_000},
    ],
    ids=["name", "names", "name in object", "type", "route", "objects"],
)
def test_a_refusal_is_small_whatever_the_record_was(fields: dict[str, Any]) -> None:
    """It goes into the events, the dead letter's headers and one transaction."""
    error = refused(json.dumps(fields).encode())

    assert error.reason is Rejection.INVALID_COMMAND
    assert error.command_id == "c-1"
    assert len(error.message) + len(str(error.problems)) < 8192


@pytest.mark.parametrize("path", ["/", "//", "/a//b", "/.", "/..", "/a/..", "/\u2066a"])
def test_a_path_that_could_lead_elsewhere_is_refused(path: str) -> None:
    objects = [{"relativePath": path}]

    error = refused(json.dumps(SEND | {"objects": objects}).encode())

    assert [path for path, _ in error.problems] == ["/objects/0/relativePath"]


@pytest.mark.parametrize("path", ["/%2e%2e/b", "/...", "/.hidden", "/a b", "/é", "/~"])
def test_a_strange_but_plain_path_is_just_text(path: str) -> None:
    objects = [{"relativePath": path}]

    send = read(json.dumps(SEND | {"objects": objects}).encode())

    assert send.objects == (ObjectSpec(path),)


def test_a_broken_envelope_is_answered_by_the_id_inside_it() -> None:
    value = json.dumps(SEND | {"metadata": {"t": 1}}).encode()
    wrapped = json.dumps({"specversion": "1.0", "data": json.loads(value)}).encode()
    for error in (
        refused(value, [("ce_specversion", b"1.0")]),
        refused(wrapped, STRUCTURED),
    ):
        assert error.reason is Rejection.INVALID_COMMAND
        assert (error.command_id, error.metadata) == ("c-1", b'{"t":1}')


@pytest.mark.parametrize("value", [b"{", b"[1]", b'{"data":3}'])
def test_a_broken_envelope_around_nothing_readable_has_no_id(value: bytes) -> None:
    assert refused(value, STRUCTURED).command_id is None


def test_a_null_in_an_envelope_counts_as_absent() -> None:
    both = ENVELOPE | {"data": SEND, "data_base64": None}
    neither = ENVELOPE | {"data": None}

    assert isinstance(read(json.dumps(both).encode(), STRUCTURED), Send)
    error = refused(json.dumps(neither).encode(), STRUCTURED)
    assert error.reason is Rejection.INVALID_COMMAND


def test_headers_without_a_value_are_no_surprise() -> None:
    headers: Any = [("ce_specversion", None), ("content-type", None)]

    assert refused(encode(SEND), headers).reason is Rejection.INVALID_COMMAND


def test_a_value_of_exactly_one_mebibyte_is_still_read() -> None:
    value = encode(SEND)
    padded = value + b" " * (MAX_BYTES - len(value))

    assert isinstance(read(padded), Send)
    assert refused(padded + b" ").reason is Rejection.TOO_LARGE


def calls_to_read(number: int) -> int:
    """Return how many functions are called to read a command of so many objects."""
    objects = [{"relativePath": f"/show/{n:05}.mov"} for n in range(number)]
    value = encode(SEND | {"objects": objects})
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        send = read(value)
    finally:
        sys.setprofile(before)
    assert len(send.objects) == number
    return calls


def test_each_of_ten_thousand_objects_costs_as_much_as_one_of_a_thousand() -> None:
    """That it is so in time too is shown by `make benchmark`."""
    assert calls_to_read(10_000) < 11 * calls_to_read(1000)


PIECES = [b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\u", b"\xff", b"\x00", b"1e9"]
PIECES += [b'"commandId":"c"', b'"objects":[{"relativePath":"/a"}]', b"null", b"-0"]
PIECES += [b'"type":"send"', b'"route":"r"', b'"data":', b'"expiresAt":"0001-01-01T']


@given(
    st.lists(st.sampled_from(PIECES), max_size=40).map(b"".join)
    | st.integers(0, 2000).map(nested)
    | st.binary(max_size=200),
    st.lists(
        st.tuples(
            st.sampled_from(["content-type", "ce_specversion", "ce_id", "CE_TYPE"]),
            st.none()
            | st.binary(max_size=30)
            | st.sampled_from([b"1.0", b"application/cloudevents+json"]),
        ),
        max_size=5,
    ),
)
def test_any_record_is_read_or_refused(value: bytes, headers: Any) -> None:
    with suppress(InvalidRecord):  # anything else is a failure
        read(value, headers)


segments = st.text(
    st.characters(exclude_categories=["Cc", "Cf", "Cs"], exclude_characters="/\\"),
    min_size=1,
    max_size=20,
).filter(lambda part: part not in {".", ".."})
objects = st.builds(
    lambda parts, size: {"relativePath": "/" + "/".join(parts), "sizeInBytes": size},
    st.lists(segments, min_size=1, max_size=4),
    st.none() | st.integers(0, (2**53 - 1) // 5),
)


@given(
    st.lists(objects, min_size=1, max_size=5, unique_by=lambda o: o["relativePath"]),
    st.none() | st.dictionaries(st.text(max_size=5), st.integers(-9, 9), max_size=4),
)
def test_what_is_valid_comes_out_as_it_went_in(
    wanted: list[dict[str, Any]], metadata: dict[str, int] | None
) -> None:
    send = read(encode(SEND | {"objects": wanted, "metadata": metadata}))

    assert send.objects == tuple(
        ObjectSpec(each["relativePath"], each["sizeInBytes"]) for each in wanted
    )
    assert (send.metadata and orjson.loads(send.metadata)) == metadata


@given(st.permutations(list(SEND.items())), st.booleans())
def test_neither_order_nor_nulls_nor_blanks_change_the_content(
    fields: list[tuple[str, Any]], with_nulls: bool
) -> None:
    nulls = dict.fromkeys(["metadata", "expiresAt", "type"]) if with_nulls else {}
    value = json.dumps(dict(fields) | nulls, indent=3).encode()

    assert read(value) == read(encode(SEND))
