"""Whatever bytes come: every parser reads them or says so in its own words."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import orjson
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jetworker.core.command import CommandId, RouteName
from jetworker.core.delivery import Delivery, Requested, State
from jetworker.core.errors import ConfigurationError
from jetworker.core.finished import Finished
from jetworker.wire import durations, routes, snapshots, times
from jetworker.wire.jet import quote_answer
from jetworker.wire.record import traceparent

NOW = datetime(2026, 11, 24, tzinfo=UTC)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["completed", "accepted", "0001-01-01T00:00:00Z", "1e999", "ff"])
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)

OPEN = orjson.loads(
    snapshots.encode(
        Delivery(CommandId("c"), b"f" * 32, RouteName("r"), Requested(1, 2), NOW, NOW)
    )
)
ENDED = orjson.loads(
    snapshots.encode(
        Finished(CommandId("c"), b"f" * 32, State.FAILED, NOW, RouteName("r"), 3)
    )
)
SHORT = sorted(
    {*ENDED["end"], "job", "did", "why", "began", "doubt"}, key=lambda name: name
)


def read_snapshot(value: bytes) -> None:
    with suppress(snapshots.UnreadableSnapshot):  # anything else is a failure
        snapshots.encode(snapshots.decode(value))  # what is read can be written


@given(st.binary(max_size=100) | values.map(orjson.dumps))
def test_any_bytes_are_a_snapshot_or_unreadable(value: bytes) -> None:
    read_snapshot(value)
    read_snapshot(b'{"end":' + value)


@given(st.dictionaries(st.sampled_from(SHORT), values, max_size=3))
@example({"at": 67768036191676800})  # found: beyond the platform's calendar
def test_a_finished_one_with_anything_in_a_field_is_read_or_unreadable(
    changes: dict[str, Any],
) -> None:
    read_snapshot(orjson.dumps({"end": ENDED["end"] | changes, "v": 1}))


@given(st.sampled_from(sorted(OPEN["open"])), values)
def test_an_open_one_with_anything_in_a_field_is_read_or_unreadable(
    name: str, value: Any
) -> None:
    read_snapshot(orjson.dumps({"v": 1, "open": OPEN["open"] | {name: value}}))


@given(st.dictionaries(st.text(max_size=7), values, max_size=3), values)
def test_one_with_any_further_fields_is_read_or_unreadable(
    fields: dict[str, Any], value: Any
) -> None:
    for document, form in ((OPEN, "open"), (ENDED, "end")):
        read_snapshot(orjson.dumps(document | fields))
        read_snapshot(orjson.dumps(document | {form: fields | document[form]}))
        read_snapshot(orjson.dumps(document | {form: document[form] | fields}))
        read_snapshot(
            orjson.dumps(document | {form: document[form] | {"unknown": value}})
        )


@given(
    st.text(max_size=30)
    | st.from_regex(r"\d{0,400}(\.\d{0,9})?(ms|s|m|h|d)?", fullmatch=True)
    | st.floats()
    | st.integers()
)
def test_any_duration_is_read_or_refused(text: str | float) -> None:
    with suppress(ValueError):
        durations.parse(text)


@given(
    st.text(max_size=40)
    | st.from_regex(
        r"\w{3}, \d{1,9} \w{3} \d{1,9} \d\d:\d\d:\d\d [+-]?\w{1,9}", fullmatch=True
    )
    | st.integers().map(str)
)
def test_any_retry_after_is_a_bounded_wait_or_none(text: str) -> None:
    found = times.parse(text, NOW)

    assert found is None or 0 <= found <= times.LIMIT


@given(st.integers(-(2**63), 2**63 - 1))
def test_any_time_of_a_record_is_an_instant(milliseconds: int) -> None:
    """A producer may set it to anything: it must not stop the partition."""
    assert times.of_record(milliseconds).tzinfo is UTC


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["traceparent", "TraceParent", "other"]),
            st.none() | st.binary(max_size=60) | st.just(b"00-a-b-01"),
        ),
        max_size=3,
    )
)
def test_any_traceparent_is_carried_as_it_was_or_left(headers: Any) -> None:
    found = traceparent(headers)

    assert found is None or found.encode() in [value for _, value in headers]


YAML = [
    "routes",
    ":",
    "\n",
    "  ",
    "a",
    "- ",
    "{",
    "}",
    "[",
    "]",
    "&x",
    "*x",
    "!!t ",
    "!",
]
YAML += [
    "job_id",
    "max_active",
    "deadline",
    "5s",
    "\t",
    '"',
    "'",
    "|",
    "<<",
    "?",
    "0x",
    "%",
]


@given(
    st.lists(st.sampled_from(YAML), max_size=30).map("".join).map(str.encode)
    | st.binary(max_size=80)
    | values.map(lambda each: orjson.dumps({"routes": {"a": each}}))
    | st.integers(0, 500).map(lambda depth: b"routes: " + b"[" * depth)
)
@example(b"routes: " + b"[" * 1000)  # too deep to be read, and that is seen slowly
@settings(deadline=None)  # what is nested deeply takes a while to be refused
def test_any_routes_file_is_read_or_refused(text: bytes) -> None:
    with suppress(ConfigurationError):
        routes.decode(text, "routes.yaml")


@example(b"://")
@example(b"1://host/secret")
@given(st.binary(max_size=100) | values.map(orjson.dumps))
def test_what_jet_says_is_quoted_short_and_without_addresses(body: bytes) -> None:
    said = quote_answer(body)

    assert len(said) <= 210
    assert "://" not in said
