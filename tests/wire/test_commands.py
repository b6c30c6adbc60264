"""Commands are read strictly, and what is wrong is named by field and rule."""

import base64
import gzip
import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetworker.core.command import (
    Cancel,
    CommandId,
    DeliveryId,
    ObjectSpec,
    Reject,
    Rejection,
    Resolution,
    Resolve,
    Send,
)
from jetworker.core.errors import InvalidRecord
from jetworker.wire import commands
from jetworker.wire.commands import decode

SEND: dict[str, Any] = {
    "commandId": "c-1",
    "route": "archive",
    "objects": [{"relativePath": "/a.mov", "sizeInBytes": 5}],
}
Headers = list[tuple[str, bytes]]


def read(body: Any, headers: Headers | None = None) -> Any:
    value = (
        body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    )
    return decode(value, headers or [], max_objects=10)


def refused(body: Any, headers: Headers | None = None) -> Reject:
    with pytest.raises(InvalidRecord) as caught:
        read(body, headers)
    return caught.value.reject


def test_a_send_is_read_with_its_defaults() -> None:
    send = read(SEND | {"metadata": {"b": 1, "a": [None]}, "expiresAt": None})

    assert isinstance(send, Send)
    assert send.objects == (ObjectSpec("/a.mov", 5, is_directory=False),)
    assert (send.metadata, send.expires_at) == (b'{"b":1,"a":[null]}', None)


def test_orders_are_read() -> None:
    adopt = {
        "commandId": "c",
        "type": "resolve",
        "action": "adopt",
        "deliveryId": "d-1",
    }

    assert read({"commandId": "c", "type": "cancel"}) == Cancel(CommandId("c"))
    assert read(adopt) == Resolve(CommandId("c"), Resolution.ADOPT, DeliveryId("d-1"))
    resend = {"commandId": "c", "type": "resolve", "action": "resend"}
    assert read(resend) == Resolve(CommandId("c"), Resolution.RESEND)


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"nonsense",
        b"[" * 100_000,
        b'{"a":1,"a":2}',
        b'{"a":{"b":1,"b":1}}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":' + b"1" * 1_000_000 + b"}",
        b'{"a":' + b"1" * 50 + b"}",
        b"\xff\xfe",
        b'"\\ud800"',
        b'{"a":"\\ud800"}',
        b"[]",
        b"3",
        b"\x00",
        b"\xef\xbb\xbf{}",
    ],
    ids=range(17),
)
def test_what_is_no_json_object_is_invalid_json(value: bytes | None) -> None:
    error = refused(value)

    assert (error.reason, error.problems) == (Rejection.INVALID_JSON, ())
    assert error.command_id is None


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"", "empty"),
        (b'{"a": "\xe9"}', "not UTF-8 at byte 8"),
        (json.dumps(SEND).encode("utf-16"), "not UTF-8 at byte 1"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (gzip.compress(b"{}", mtime=0), "compressed (gzip)"),
        (b'{"a": NaN}', "NaN and Infinity are no numbers: line 1 column 7"),
        (b'{"a": -Infinity}', "NaN and Infinity are no numbers: line 1 column 8"),
        (b'{"a": 1,\n}', "trailing comma is not allowed: line 1 column 8"),
        (b'{"hush": hush}', "line 1 column 10"),
        (b'{"a": 1', "unexpected end of data: line 1 column 8"),
    ],
    ids=range(10),
)
def test_what_is_no_json_is_told_where_and_why(value: bytes, said: str) -> None:
    message = refused(value).message

    assert message.startswith("not JSON: ")
    assert said in message
    assert "hush" not in message


def test_a_key_that_occurs_twice_is_named_and_bounded() -> None:
    long = "k" * 500

    assert refused(b'{"a": {"route": 1, "b": 2, "route": 1}}').message == (
        "the key 'route' occurs twice in one object"
    )
    assert refused(f'{{"{long}": 1, "{long}": 2}}'.encode()).message == (
        f"the key '{long[:64]}' occurs twice in one object"
    )


def test_patterns_are_told_in_words() -> None:
    error = refused(SEND | {"commandId": "a b", "objects": [{"relativePath": "a"}]})

    assert error.problems == (
        ("/commandId", "must be 1 to 128 of A-Z a-z 0-9 . _ : -"),
        ("/objects/0/relativePath", "must begin with /"),
    )


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"typo": 1}, "/typo"),
        ({"commandId": "a b"}, "/commandId"),
        ({"commandId": "x" * 129}, "/commandId"),
        ({"commandId": "a\n"}, "/commandId"),
        ({"type": "sned"}, "/type"),
        ({"type": 3}, "/type"),
        ({"type": "cancel"}, "/route"),
        ({"route": ""}, "/route"),
        ({"route": 3}, "/route"),
        ({"objects": []}, "/objects"),
        ({"objects": None}, "/objects"),
        ({"objects": [3]}, "/objects/0"),
        ({"objects": [{"relativePath": "a"}]}, "/objects/0/relativePath"),
        ({"objects": [{"relativePath": "/a/../b"}]}, "/objects/0/relativePath"),
        ({"objects": [{"relativePath": "/a//b"}]}, "/objects/0/relativePath"),
        ({"objects": [{"relativePath": "/a/"}]}, "/objects/0/relativePath"),
        ({"objects": [{"relativePath": "/./b"}]}, "/objects/0/relativePath"),
        ({"objects": [{"relativePath": "/a\\b"}]}, "/objects/0/relativePath"),
        ({"objects": [{"relativePath": "/a\u0000"}]}, "/objects/0/relativePath"),
        ({"objects": [{"relativePath": "/a\u0085"}]}, "/objects/0/relativePath"),
        ({"objects": [{"relativePath": "/a\u202e"}]}, "/objects/0/relativePath"),
        ({"objects": [{"relativePath": "/" + "é" * 512}]}, "/objects/0/relativePath"),
        ({"objects": [{"relativePath": "/"}]}, "/objects/0/relativePath"),
        ({"objects": [{"relativePath": "/a", "size": 1}]}, "/objects/0/size"),
        (
            {"objects": [{"relativePath": "/a", "sizeInBytes": -1}]},
            "/objects/0/sizeInBytes",
        ),
        (
            {"objects": [{"relativePath": "/a", "sizeInBytes": 2**53}]},
            "/objects/0/sizeInBytes",
        ),
        (
            {"objects": [{"relativePath": "/a", "sizeInBytes": 1e300}]},
            "/objects/0/sizeInBytes",
        ),
        (
            {"objects": [{"relativePath": "/a", "sizeInBytes": "5"}]},
            "/objects/0/sizeInBytes",
        ),
        (
            {
                "objects": [
                    {"relativePath": "/a", "sizeInBytes": 2**53 - 1},
                    {"relativePath": "/b", "sizeInBytes": 1},
                ]
            },
            "/objects",
        ),
        (
            {"objects": [{"relativePath": "/a", "sizeInBytes": True}]},
            "/objects/0/sizeInBytes",
        ),
        (
            {"objects": [{"relativePath": "/a", "sizeInBytes": 1.5}]},
            "/objects/0/sizeInBytes",
        ),
        (
            {"objects": [{"relativePath": "/a", "isDirectory": 1}]},
            "/objects/0/isDirectory",
        ),
        (
            {
                "objects": [
                    {"relativePath": "/a", "isDirectory": True, "sizeInBytes": 1}
                ]
            },
            "/objects/0/sizeInBytes",
        ),
        ({"objects": [{"relativePath": "/a"}] * 2}, "/objects/1/relativePath"),
        ({"metadata": [1]}, "/metadata"),
        ({"metadata": {"a": "x" * 4096}}, "/metadata"),
        ({"expiresAt": "2026-12-01"}, "/expiresAt"),
        ({"expiresAt": "2026-12-01T00:00:00"}, "/expiresAt"),
        ({"expiresAt": "2026-13-01T00:00:00Z"}, "/expiresAt"),
        ({"expiresAt": "2026-12-01T00:00:00+00:60"}, "/expiresAt"),
        ({"expiresAt": "2026-12-01T00:00:00+24:00"}, "/expiresAt"),
        ({"expiresAt": 1790000000}, "/expiresAt"),
    ],
)
def test_what_breaks_a_rule_is_named_by_its_pointer(
    changes: dict[str, Any], path: str
) -> None:
    error = refused(SEND | changes)

    assert error.reason is Rejection.INVALID_COMMAND
    assert path in [pointer for pointer, _ in error.problems]
    assert error.message


def test_a_pointer_is_escaped() -> None:
    assert refused(SEND | {"a/b~c": 1}).problems[0][0] == "/a~1b~0c"


def test_messages_never_repeat_what_the_record_said() -> None:
    error = refused(SEND | {"route": 3, "objects": [{"relativePath": "hush-hush"}]})

    assert "hush" not in error.message
    assert "hush" not in str(error.problems)


def test_the_id_and_the_metadata_are_kept_where_they_can_be_read() -> None:
    readable = refused(SEND | {"metadata": {"t": 1}, "route": 1})
    broken = refused(SEND | {"commandId": "a b", "metadata": {"t": "x" * 5000}})

    assert (readable.command_id, readable.metadata) == ("c-1", b'{"t":1}')
    assert (broken.command_id, broken.metadata) == (None, None)


def test_an_action_and_its_delivery_belong_together() -> None:
    base = {"commandId": "c", "type": "resolve"}
    for wrong in (
        base | {"action": "adopt"},
        base | {"action": "resend", "deliveryId": "d"},
        base | {"action": "adopt", "deliveryId": "not/one"},
    ):
        assert refused(wrong).problems[0][0] == "/deliveryId"


def test_too_much_is_said_so() -> None:
    large = b'{"commandId":"c-1","x":"' + b"x" * (1 << 20) + b'"}'
    many = SEND | {"objects": [{"relativePath": f"/{n}"} for n in range(11)]}

    assert refused(large).reason is Rejection.TOO_LARGE
    assert refused(many).reason is Rejection.TOO_MANY_OBJECTS


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("104857600.0", 104857600),
        ("1e2", 100),
        ("-0", 0),
        ("-0.0", 0),
        ("9007199254740991", 2**53 - 1),
        ("9.007199254740991e15", 2**53 - 1),
        ("null", None),
    ],
)
def test_a_size_is_a_whole_number_however_it_is_written(
    written: str, size: int | None
) -> None:
    record = orjson.dumps(SEND).replace(b'"sizeInBytes":5', b'"sizeInBytes":@')

    found = decode(record.replace(b"@", written.encode()), (), max_objects=10)

    assert isinstance(found, Send)
    assert found.objects[0].size == size


def test_equal_content_has_the_same_fingerprint_and_other_content_has_not() -> None:
    def print_of(**changes: Any) -> bytes:
        found = read(SEND | changes)
        assert isinstance(found, Send)
        return found.fingerprint

    default = [{"relativePath": "/a.mov", "sizeInBytes": 5, "isDirectory": False}]
    utc, offset = "2026-12-01T00:00:00Z", "2026-12-01T01:00:00.000+01:00"
    assert print_of() == print_of(objects=default) == print_of(metadata=None)
    assert print_of(expiresAt=utc) == print_of(expiresAt=offset)
    assert print_of(metadata={"a": 1, "b": 2}) == print_of(metadata={"b": 2, "a": 1})
    others = [
        print_of(),
        print_of(route="other"),
        print_of(metadata={}),
        print_of(expiresAt=utc),
        print_of(objects=[{"relativePath": "/a.mov"}]),
    ]
    assert len(set(others)) == len(others)


def test_binary_cloudevents_carry_the_command_as_their_value() -> None:
    headers = [("ce_specversion", b"1.0"), ("ce_id", b"1")]
    headers += [("ce_source", b"/s"), ("ce_type", b"t")]

    assert isinstance(read(SEND, headers), Send)
    for number in range(4):
        wrong = [(n, b"" if k == number else v) for k, (n, v) in enumerate(headers)]
        assert refused(SEND, wrong).reason is Rejection.INVALID_COMMAND


def test_structured_cloudevents_carry_the_command_as_their_data() -> None:
    kind = [("Content-Type", b"application/CloudEvents+json; charset=UTF-8")]
    envelope = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
    encoded = base64.b64encode(json.dumps(SEND).encode()).decode()

    assert isinstance(read(envelope | {"data": SEND}, kind), Send)
    assert isinstance(read(envelope | {"data_base64": encoded}, kind), Send)
    for wrong in (
        envelope,
        envelope | {"data": SEND, "data_base64": encoded},
        envelope | {"data_base64": "*"},
        envelope | {"data": SEND, "specversion": "0.3"},
        envelope | {"data": SEND, "id": ""},
        [1],
    ):
        assert refused(wrong, kind).reason is Rejection.INVALID_COMMAND
    assert refused(b"{", kind).reason is Rejection.INVALID_JSON


def test_an_event_without_data_is_told_so_in_one_sentence() -> None:
    envelope = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
    kind = [("content-type", b"application/cloudevents+json")]

    assert refused(envelope, kind).problems == (
        ("/data", "is required, or data_base64, not both"),
    )


def test_a_batch_of_cloudevents_is_refused_with_the_cure() -> None:
    batch = [("content-type", b"application/cloudevents-batch+json")]

    assert refused([SEND], batch).message == (
        "CloudEvents envelope: it is a batch: publish one event a record"
    )


def test_cloudevents_are_read_as_json_only() -> None:
    kind = [("content-type", b"application/cloudevents+avro")]

    assert refused(SEND, kind).message == (
        "CloudEvents envelope: it must be application/cloudevents+json"
    )


@pytest.mark.parametrize("kind", ["plain", "binary", "structured"])
def test_the_frame_of_confluent_s_serializer_is_taken_off(kind: str) -> None:
    frame = b"\0" + (100_042).to_bytes(4, "big")
    attributes = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
    binary = [(f"ce_{name}", value.encode()) for name, value in attributes.items()]
    structured = [("content-type", b"application/cloudevents+json")]
    body, headers = {
        "plain": (SEND, []),
        "binary": (SEND, binary),
        "structured": (attributes | {"data": SEND}, structured),
    }[kind]

    framed = commands.decode(
        frame + json.dumps(body).encode(), headers, max_objects=100
    )

    assert framed == read(SEND)


@pytest.mark.parametrize("value", [b"\0", b"\0\0\0\0", b"\0\0\0\0\1", b"\0{}"])
def test_a_frame_with_nothing_behind_it_is_no_json(value: bytes) -> None:
    with pytest.raises(InvalidRecord) as caught:
        commands.decode(value, (), max_objects=100)

    assert caught.value.reject.reason is Rejection.INVALID_JSON


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(value: bytes) -> None:
    with suppress(InvalidRecord):  # anything else is a failure
        read(value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=10,
)


@given(
    st.dictionaries(
        st.sampled_from(
            ["commandId", "type", "route", "objects", "metadata", "expiresAt", "x"]
        ),
        json_values,
    )
)
def test_any_object_is_read_or_refused(body: dict[str, Any]) -> None:
    with suppress(InvalidRecord):  # anything else is a failure
        read(json.dumps(body).encode())


def test_what_the_command_line_writes_is_what_is_read() -> None:
    assert read(commands.encode(SEND)) == read(orjson.dumps(SEND))


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-12-31T23:59:60Z", datetime(2027, 1, 1, tzinfo=UTC)),
        ("2026-12-31T23:59:60.25Z", datetime(2027, 1, 1, tzinfo=UTC)),
        ("2027-01-01T00:59:60+01:00", datetime(2027, 1, 1, tzinfo=UTC)),
        (
            "2026-12-01T00:00:00.1234567891Z",
            datetime(2026, 12, 1, 0, 0, 0, 123456, tzinfo=UTC),
        ),
    ],
)
def test_every_moment_of_rfc_3339_is_read(text: str, moment: datetime) -> None:
    assert read(SEND | {"expiresAt": text}).expires_at == moment


@pytest.mark.parametrize(
    "text", ["2026-12-01T00:00:60Z", "2026-12-31T23:59:61Z", "9999-12-31T23:59:60Z"]
)
def test_a_leap_second_is_one_only_at_the_end_of_a_day(text: str) -> None:
    assert refused(SEND | {"expiresAt": text}).problems == (
        ("/expiresAt", "is not a day or time that exists"),
    )


@pytest.mark.parametrize("number", ["0.1", "1.50", "1e3", "-2.5e-7", "104857600.0"])
def test_a_number_that_can_be_kept_is(number: str) -> None:
    body = orjson.dumps(SEND)[:-1] + b', "metadata": {"n": %s}}' % number.encode()

    assert orjson.loads(read(body).metadata) == {"n": float(number)}


@pytest.mark.parametrize(
    "number",
    [
        "0.1000000000000000000001",
        "1e-400",
        "0e99999999999999999999",
        "1e-99999999999999999999",
    ],
)
def test_a_number_that_would_be_echoed_changed_is_refused(number: str) -> None:
    body = orjson.dumps(SEND)[:-1] + b', "metadata": {"n": %s}}' % number.encode()

    assert refused(body).message == "a number has more digits than can be kept"
