"""Jet's answers are read leniently: whatever is undocumented is tolerated."""

import time
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from jetworker.core.command import DeliveryId, JobId, ObjectSpec, ProfileId, TransferId
from jetworker.core.observation import (
    JetDelivery,
    JetFile,
    JetJob,
    JetTransfer,
    Progress,
    StorageProfile,
    Tally,
)
from jetworker.core.route import Growing
from jetworker.wire import durations, jet, times
from jetworker.wire.jet import quote, quote_answer

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
COUNTS = {"transferred": {"count": 12, "bytes": 5}, "failed": {"count": 1}}


def test_a_delivery_is_read_as_the_vendor_s_page_shows_it() -> None:
    shown = {
        "deliveryId": "410a",
        "state": "IN_PROGRESS",
        "createdOn": "2025-09-15T18:28:59.681Z",
        "deliverySummary": COUNTS,
        "transfers": [{"transferId": "492e"}, {"transferId": 3}, "x"],
        "whatever": {"is": "new"},
    }

    assert jet.delivery(shown) == JetDelivery(
        DeliveryId("410a"),
        "IN_PROGRESS",
        datetime(2025, 9, 15, 18, 28, 59, 681000, tzinfo=UTC),
        Progress(Tally(12, 5), Tally(), Tally(1, 0)),
        (TransferId("492e"),),
    )


def test_a_fact_of_the_wrong_type_is_absent() -> None:
    shown = {
        "deliveryId": "d",
        "state": "X",
        "createdOn": "soon",
        "deliverySummary": {"transferred": {"count": "one", "bytes": True}},
        "transfers": "none",
    }

    assert jet.delivery(shown) == JetDelivery(DeliveryId("d"), "X", None, Progress())


@pytest.mark.parametrize(
    ("shown", "number"),
    [
        ("1", 1),
        (" 7 ", 7),
        ("+3", 3),
        ("104857600", 104857600),
        ("3.0", 3),
        ("3.", 3),
        ("9007199254740991", 2**53 - 1),
        (4.0, 4),
        ("9007199254740992", 0),
        ("-1", 0),
        ("1e3", 0),
        ("0x10", 0),
        ("\u0661", 0),
        ("", 0),
        ("9" * 5000, 0),
        (2**53 + 2, 0),
        (1e300, 0),
        (float("nan"), 0),
        (True, 0),
    ],
)
def test_a_number_may_be_decimal_text_everywhere_and_is_never_too_large(
    shown: Any, number: int
) -> None:
    tally = {"count": shown, "bytes": shown}
    progress = {"transferred": tally, "skipped": tally}
    document = {"deliveryId": "d", "transferId": "t", "state": "S"}
    manifest = {"objectsManifest": {"summary": tally}, "transferProgress": progress}
    same = Tally(number, number)

    assert jet.delivery(document | {"deliverySummary": progress}).progress == Progress(
        same, same
    )
    assert jet.transfer(document | manifest).progress == Progress(same, same)
    assert jet.transfer(document | manifest).expected == same
    assert (jet.file({"sizeInBytes": shown}).size or 0) == number


@pytest.mark.parametrize(
    ("failed", "count", "is_known"),
    [
        (None, 0, True),
        ({}, 0, True),
        ({"count": None, "bytes": 0}, 0, True),
        ({"count": "2"}, 2, True),
        ({"count": 2.0, "bytes": "x"}, 2, True),
        (2, 2, True),
        ("3", 3, True),
        ({"count": "many"}, 0, False),
        ({"count": -1}, 0, False),
        ({"count": 1e30}, 0, False),
        ({"count": {}}, 0, False),
        ({"bytes": 9}, 0, False),
        ({"bytes": "x"}, 0, False),
        ("many", 0, False),
        ([1], 0, False),
        (True, 0, False),
    ],
)
def test_a_failed_count_that_is_there_and_unreadable_is_not_zero(
    failed: Any, count: int, is_known: bool
) -> None:
    shown = {"deliveryId": "d", "state": "S", "deliverySummary": {"failed": failed}}

    progress = jet.delivery(shown).progress

    assert progress is not None
    assert (progress.failed.count, progress.is_failed_known) == (count, is_known)


@pytest.mark.parametrize(
    ("answer", "is_whole"),
    [
        ({}, True),
        ({"totalResultCount": 1}, True),
        ({"totalResultCount": "1"}, True),
        ({"totalResultCount": 2}, False),
        ({"totalResultCount": "2"}, False),
        ({"totalResultCount": "all"}, True),
        ({"totalCount": 2.0}, False),
        ({"nextPageToken": "x"}, False),
        ({"nextToken": None, "after": ""}, True),
        ({"next": "https://jet/v1/jobs?page=2"}, False),
        ({"hasMore": False}, True),
        ({"hasMore": True}, False),
        ({"pagination": {"cursor": "x"}}, False),
        ({"paging": "x"}, True),
    ],
)
def test_a_listing_that_says_that_there_is_more_is_not_whole(
    answer: Any, is_whole: bool
) -> None:
    listed = jet.items({"items": [{"jobId": "j"}], **answer}, jet.job)

    assert (listed.items, listed.is_whole) == ((JetJob(JobId("j")),), is_whole)


def test_a_state_longer_than_any_word_is_cut_and_an_id_must_be_one() -> None:
    assert jet.delivery({"deliveryId": "d", "state": "S" * 999}).state == "S" * 64
    for wrong in ("a/b", "", "i" * 129, 7):
        with pytest.raises(jet.NoAnswer):
            jet.transfer({"transferId": wrong, "state": "S"})


@pytest.mark.parametrize(
    ("body", "is_jets"),
    [
        (b'{"message":"no"}', True),
        (b"{}", True),
        (b"", False),
        (b"default backend - 404", False),
        (b"<html>404</html>", False),
        (b'["no"]', False),
        (b'"no"', False),
        (b"404", False),
        (b"null", False),
        (b"\xff\xfe", False),
        (b'{"message":', False),
    ],
)
def test_only_a_json_object_is_jet_s_own_word(body: bytes, is_jets: bool) -> None:
    assert jet.is_object(body) is is_jets


def test_nine_fractional_digits_and_no_zone_are_understood() -> None:
    at = "2025-09-15T18:28:59.123456789Z"
    found = jet.job({"jobId": "j", "createdOn": at}).created_on
    local = jet.job({"jobId": "j", "createdOn": "2025-09-15T18:28:59"}).created_on

    assert found == datetime(2025, 9, 15, 18, 28, 59, 123456, tzinfo=UTC)
    assert local == datetime(2025, 9, 15, 18, 28, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    "date",
    ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00", "9001-01-01T00:00:00Z"],
)
def test_a_time_that_no_clock_shows_is_absent(date: str) -> None:
    """Adding to it, or changing its zone, would leave the calendar."""
    assert jet.delivery({"deliveryId": "d", "state": "X", "createdOn": date}) == (
        JetDelivery(DeliveryId("d"), "X")
    )


def test_a_transfer_names_its_delivery_in_either_place() -> None:
    inside = {
        "transferId": "t",
        "state": "S",
        "metadata": {"deliveryId": "d", "isRetry": "True"},
    }
    beside = {"transferId": "t", "state": "S", "deliveryId": "d"}
    manifest = {"objectsManifest": {"summary": {"count": 2, "bytes": 9}}}

    assert jet.transfer(inside) == JetTransfer(
        TransferId("t"), "S", DeliveryId("d"), is_retry=True
    )
    assert jet.transfer(beside).delivery_id == "d"
    assert jet.transfer(beside | manifest).expected == Tally(2, 9)
    assert jet.transfer({"transferId": "t", "state": "S"}).delivery_id is None


def test_every_delivery_id_in_a_job_document_is_found_at_any_depth() -> None:
    deep: Any = {"deliveryId": "deepest"}
    for _ in range(5000):
        deep = [deep]
    document = {
        "jobId": "j",
        "name": "n",
        "lastDelivery": "a",
        "deliveryIds": ["b", "c"],
        "activity": {"deliveries": [{"deliveryId": "d"}, {"id": "e"}], "more": deep},
        "deliveryMode": "FAST",
        "deliveryBatchId": "no",
        "other": {"id": "no"},
        "delivery": {"id": "f", "deliveryId": "a"},
    }

    assert jet.job(document).delivery_ids == ("a", "b", "c", "d", "e", "deepest", "f")


def test_a_job_is_read_from_a_document_and_from_a_search() -> None:
    source, destination = {"storageProfileId": "s"}, {"storageProfileId": "t"}
    data = {"data": {"source": source, "destination": destination}}
    document = {"jobId": "j", "name": "n", "paused": True, "actions": ["?", {}, data]}

    assert jet.job(document) == JetJob(
        JobId("j"), "n", paused=True, profile_ids=(ProfileId("s"), ProfileId("t"))
    )
    found = jet.job({"jobId": "j", "jobName": "n", "status": "PAUSED"})
    assert (found.name, found.paused, found.profile_ids) == ("n", True, None)


def test_files_and_profiles_are_read() -> None:
    shown = {"url": "file:///a", "transferId": "t", "state": "S", "sizeInBytes": 3.0}

    assert jet.file(shown) == JetFile("file:///a", TransferId("t"), "S", 3)
    assert jet.file({}) == JetFile("")
    assert jet.profile({"storageProfileId": "p", "name": "n"}) == StorageProfile(
        ProfileId("p"), "n"
    )


def test_a_list_leaves_out_what_it_cannot_read() -> None:
    rows = [{"transferId": "t", "state": "S"}, {}, 3]

    listed = jet.items({"items": rows}, jet.transfer)

    assert ([t.transfer_id for t in listed.items], listed.shown) == (["t"], 3)
    assert not listed.is_whole
    assert len(jet.items(rows, jet.transfer).items) == 1
    for wrong in ({}, {"items": 3}, None):
        with pytest.raises(jet.NoAnswer):
            jet.items(wrong, jet.transfer)


def test_without_what_matters_it_is_no_answer() -> None:
    wrongs: list[Any] = [None, [], {}, {"deliveryId": "d"}]
    for wrong in (*wrongs, {"deliveryId": 3, "state": "S"}):
        with pytest.raises(jet.NoAnswer):
            jet.delivery(wrong)
    with pytest.raises(jet.NoAnswer):
        jet.loads(b"<html>")


def test_a_start_s_answer_has_an_id_or_none() -> None:
    assert jet.delivery_id({"deliveryId": "d"}) == "d"
    wrongs: list[Any] = [{}, {"deliveryId": "a/b"}, {"deliveryId": 3}, []]
    for wrong in wrongs:
        assert jet.delivery_id(wrong) is None


def test_a_start_sends_only_the_documented_keys() -> None:
    objects = (ObjectSpec("/a", 5), ObjectSpec("/b", is_directory=True))

    assert orjson.loads(jet.start_body(objects)) == {
        "objects": [
            {"relativePath": "/a", "sizeInBytes": 5},
            {"relativePath": "/b", "isDirectory": True},
        ]
    }


def test_a_job_is_created_with_growing_objects_if_the_route_says_so() -> None:
    plain = orjson.loads(jet.job_body("n", ProfileId("s"), ProfileId("t"), None))
    growing = Growing(timedelta(seconds=30), 16)
    made = orjson.loads(jet.job_body("n", ProfileId("s"), ProfileId("t"), growing))
    bare = Growing(timedelta(milliseconds=1))
    least = orjson.loads(jet.job_body("n", ProfileId("s"), ProfileId("t"), bare))

    assert plain["actions"][0]["data"] == {
        "source": {"storageProfileId": "s"},
        "destination": {"storageProfileId": "t"},
    }
    assert made["actions"][0]["data"]["transferOptions"] == {
        "areGrowingObjects": True,
        "growingObjects": {"growingIdleTimeoutInSeconds": 30},
        "partSizeInMiB": 16,
    }
    options = least["actions"][0]["data"]["transferOptions"]
    assert options["growingObjects"] == {"growingIdleTimeoutInSeconds": 1}


def test_a_long_word_that_jet_said_is_quoted_at_once() -> None:
    began = time.process_time()

    quoted = quote_answer(b'{"message":"%s"}' % (b"a." * 20_000))

    assert quoted == "a." * 100
    assert time.process_time() - began < 1


def test_what_jet_said_is_quoted_without_urls_and_short() -> None:
    text = "see https://storage.example/secret?sig=1 \x00 now " + "x" * 500

    quoted = quote(text)

    assert "storage" not in quoted
    assert quoted.startswith("see (url) now x")
    assert len(quoted) == 200


def test_the_message_of_an_error_is_found() -> None:
    assert quote_answer(b'{"message":"no"}') == "no"
    assert quote_answer(b'{"error":"bad"}') == "bad"
    assert quote_answer(b"<html>oops") == "<html>oops"
    assert quote_answer(b'{"code":3}') == '{"code":3}'
    assert quote_answer(b'["no"]') == '["no"]'


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("2", 2.0),
        (" 7 ", 7.0),
        ("1000000000", 300.0),
        ("9" * 5000, 300.0),
        ("-1", None),
        ("soon", None),
        ("Mon, 23 Nov 2026 10:00:05 GMT", 5.0),
        ("Mon, 23 Nov 2026 09:00:00 GMT", 0.0),
        ("Mon, 23 Nov 2026 10:00:05 -0000", 5.0),
        ("Mon, 99 Nov 2026 10:00:05 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_capped(
    value: str | None, seconds: float | None
) -> None:
    assert times.parse(value, NOW) == seconds


@given(st.text(max_size=40))
def test_any_retry_after_is_a_bounded_wait_or_none(value: str) -> None:
    found = times.parse(value, NOW)

    assert found is None or 0 <= found <= 300


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("30s", 30),
        ("5m", 300),
        ("24h", 86400),
        ("7d", 604800),
        ("0.2", 0.2),
        (3, 3),
    ],
)
def test_durations_are_read(text: str | float, seconds: float) -> None:
    assert durations.parse(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "5 m", "-1s", "1w", "s", True, "9" * 400 + "d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        durations.parse(text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "deliveryId",
                    "state",
                    "transfers",
                    "jobId",
                    "items",
                    "metadata",
                    "createdOn",
                    "actions",
                    "data",
                    "source",
                    "transferId",
                    "deliverySummary",
                    "transferred",
                    "count",
                    "deliveries",
                    "id",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=15,
)


@given(json_values)
def test_no_answer_of_jet_raises_anything_but_no_answer(answer: Any) -> None:
    for read in (jet.delivery, jet.transfer, jet.job, jet.file, jet.profile):
        try:
            read(answer)
        except jet.NoAnswer:
            continue


def test_a_duration_out_of_bounds_is_told_the_bounds_as_people_write_them() -> None:
    bounded = TypeAdapter(
        Annotated[durations.Duration, durations.within("1s", "365d")]
    ).validate_python

    assert bounded("1s") == timedelta(seconds=1)
    for value in ("999ms", "366d"):
        with pytest.raises(ValueError, match="must be between 1s and 365d"):
            bounded(value)
