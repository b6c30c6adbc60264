"""Snapshots come back as they were; events and answers are what the schemas say."""

import re
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import orjson
import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary_event
from cloudevents.core.formats.json import JSONFormat
from jsonschema import Draft202012Validator
from pydantic.alias_generators import to_camel

from jetworker.cli import schemas
from jetworker.core.admission import Apply, Duplicate
from jetworker.core.command import (
    Cancel,
    CommandId,
    ObjectSpec,
    Reject,
    Rejection,
    Resolution,
    Resolve,
    RouteName,
)
from jetworker.core.delivery import (
    Delivery,
    Event,
    EventType,
    FailedObjects,
    OrderKind,
    PendingAdopt,
    Reason,
    ReasonCode,
    State,
    Terms,
    Transfer,
    WaitingOrder,
)
from jetworker.core.errors import ConfigurationError
from jetworker.core.finished import finish
from jetworker.core.orders import Answered
from jetworker.core.post import Ghost, Window, contents_of
from jetworker.core.route import Listing, OnUncertain
from jetworker.wire import events, routes, snapshots
from jetworker.wire.answers import Answers, encode_answered
from jetworker.wire.events import Envelope
from jetworker.wire.record import Record
from tests.support.builders import (
    DELIVERY,
    JOB,
    NOW,
    SECOND,
    a_delivery,
    a_jet_transfer,
    a_progress,
    an_origin,
)
from tests.support.documents import SCHEMAS

ENVELOPE = Envelope("jet.events", "/jetworker/g")
ANSWERS = Answers(ENVELOPE, "jet.dead-letters")
FULL = a_delivery(
    State.HELD,
    metadata=b'{"a":1}',
    expires_at=NOW,
    terms=Terms(OnUncertain.HOLD, timedelta(hours=1)),
    progress=a_progress(),
    counted_at=NOW,
    reason=Reason(ReasonCode.HELD, "?"),
    started_at=NOW,
    transfers=(Transfer(a_jet_transfer().transfer_id, "X", progress=a_progress()),),
    pending=PendingAdopt(
        DELIVERY, an_origin(), b"\xff", b"\x00", (("h", b"\xfe"), ("n", None))
    ),
    orders=(
        WaitingOrder(OrderKind.RESEND, an_origin(), None, b"\xff", None),
        WaitingOrder(
            OrderKind.ADOPT, an_origin(), DELIVERY, None, b"\x00", (("h", b"\xfe"),)
        ),
    ),
    doubted_at=NOW,
    failed_objects=FailedObjects(3, ("/a.mov",)),
    claimed=DELIVERY,
)


def headers(record: Record) -> dict[str, str]:
    return {name: (value or b"").decode() for name, value in record.headers}


def body(record: Record) -> Any:
    data = orjson.loads(record.value or b"")
    name = headers(record)["ce_dataschema"].removeprefix(schemas.BASE)
    Draft202012Validator(SCHEMAS[name]).validate(data)
    assert data["eventType"] == headers(record)["ce_type"]
    assert data["eventTime"] == headers(record)["ce_time"]
    return data


def told(answer: str) -> dict[str, str]:
    return {
        "eventType": f"io.jetworker.command.{answer}",
        "eventTime": "2026-11-23T10:00:00.000Z",
    }


@pytest.mark.parametrize("delivery", [FULL, *(a_delivery(s) for s in State)])
def test_a_snapshot_comes_back_as_it_was(delivery: Delivery) -> None:
    assert snapshots.decode(snapshots.encode(delivery)) == delivery


def test_an_open_snapshot_keeps_what_its_command_left_behind() -> None:
    ghost = Ghost(1, Window(NOW, NOW + SECOND), contents_of((ObjectSpec("/a", 1),)))
    left = a_delivery(State.CLEARED, posts=(ghost,), made_in=ghost.window, sample=b"12")

    assert snapshots.decode(snapshots.encode(left)) == left


def test_a_finished_snapshot_comes_back_as_it_was() -> None:
    bare = finish(a_delivery(State.CANCELLED, job_id=None, delivery_id=None))
    reason = Reason(ReasonCode.JET_FAILED, "no")
    full = finish(
        a_delivery(
            State.FAILED,
            reason=reason,
            doubted_at=NOW,
            progress=a_progress(),
            jet_state="FAILED",
            adopted=True,
            metadata=b'{"a":"\xc3\xa9"}',
            failed_objects=FailedObjects(2, ("/a", "/é")),
        )
    )
    old = replace(full, accepted_at=None, requested=None, metadata=None)

    ghost = Ghost(2, Window(NOW, NOW + SECOND), contents_of((ObjectSpec("/a", 1),)))
    testifies = replace(
        full,
        made_in=Window(NOW, NOW),
        ended_on=NOW + SECOND,
        sample=b"12345678",
        folders=True,
        posts=(ghost, replace(ghost, attempt=3)),
    )

    for finished in (bare, replace(bare, started_at=None), full, old, testifies):
        assert snapshots.decode(snapshots.encode(finished)) == finished


def test_only_an_ordinary_finished_snapshot_is_read_in_brief() -> None:
    made = Window(NOW, NOW + SECOND)
    reason = Reason(ReasonCode.JET_FAILED, "no")
    ended = finish(
        a_delivery(
            State.COMPLETED, progress=a_progress(), sample=b"12345678", reason=reason
        )
    )
    ordinary = replace(ended, made_in=made, ended_on=NOW, told_on=2)
    odd: list[snapshots.Snapshot] = [
        replace(ordinary, failed_objects=FailedObjects(1)),
        replace(ordinary, posts=(Ghost(1, made, contents_of(())),)),
        replace(ordinary, unknown=b'[[[],null,{"new":1}]]'),
        a_delivery(State.IN_PROGRESS),
    ]

    seconds = NOW.timestamp()
    ids = ordinary.delivery_id, 2, ordinary.job_id
    kept = ordinary.command_id, ordinary.fingerprint, State.COMPLETED, seconds, *ids
    assert snapshots.brief(snapshots.encode(ordinary)) == (*kept, seconds, False)
    doubted = replace(ordinary, doubted_at=NOW, folders=True)
    assert snapshots.brief(snapshots.encode(doubted)) == (*kept, None, True)
    assert [snapshots.brief(snapshots.encode(each)) for each in odd] == [None] * len(
        odd
    )


@pytest.mark.parametrize(
    "value", [b"", b"{}", b'{"end":', b'{"end":{}}', b'{"v":2,"open":{}}']
)
def test_a_snapshot_of_another_version_is_never_guessed(value: bytes) -> None:
    with pytest.raises(snapshots.UnreadableSnapshot):
        snapshots.decode(value)


def test_the_worker_s_own_records_are_told_from_snapshots() -> None:
    assert snapshots.is_own(snapshots.BARRIER)
    assert snapshots.is_own(None)
    assert not snapshots.is_own(b"c-1")


def test_a_delivery_event_is_a_cloudevent_with_every_fact() -> None:
    delivery = replace(FULL, sequence=4, published=State.UNCERTAIN)

    record = ENVELOPE.event(Event(EventType.UNCERTAIN, delivery), NOW)

    assert (record.topic, record.key) == ("jet.events", b"c-1")
    assert headers(record) == {
        "ce_specversion": "1.0",
        "ce_id": "c-1:4",
        "ce_type": "io.jetworker.delivery.uncertain",
        "ce_source": "/jetworker/g",
        "ce_subject": "c-1",
        "ce_time": "2026-11-23T10:00:00.000Z",
        "ce_dataschema": f"{schemas.BASE}events/delivery.v1.schema.json",
        "ce_sequence": "4",
        "content-type": "application/json",
        "traceparent": "00-trace-01",
    }
    assert body(record) == {
        "eventType": "io.jetworker.delivery.uncertain",
        "eventTime": "2026-11-23T10:00:00.000Z",
        "commandId": "c-1",
        "sequence": 4,
        "route": "archive",
        "jobId": JOB,
        "deliveryId": None,
        "state": "uncertain",
        "jetState": None,
        "adopted": False,
        "attempt": 1,
        "requested": {"count": 1, "bytes": 100},
        "progress": {
            "transferred": {"count": 1, "bytes": 100},
            "skipped": {"count": 0, "bytes": 0},
            "failed": {"count": 0, "bytes": 0},
        },
        "reason": {"code": "held", "message": "?"},
        "failedObjects": {"count": 3, "paths": ["/a.mov"]},
        "metadata": {"a": 1},
        "acceptedAt": "2026-11-23T10:00:00.000Z",
        "startedAt": "2026-11-23T10:00:00.000Z",
        "finishedAt": None,
    }


@pytest.mark.parametrize(
    ("kind", "jet_state", "state"),
    [
        (EventType.TRANSFER_PROGRESSED, "SCHEDULED", "in_progress"),
        (EventType.TRANSFER_COMPLETED, "COMPLETED", "completed"),
        (EventType.TRANSFER_CANCELLED, "CANCELED", "cancelled"),
        (EventType.TRANSFER_FAILED, "FAILED", "failed"),
    ],
)
def test_a_transfer_event_has_our_state_and_jet_s(
    kind: EventType, jet_state: str, state: str
) -> None:
    transfer = Transfer(a_jet_transfer().transfer_id, jet_state, is_retry=True)
    delivery = a_delivery(State.STARTED, sequence=2, metadata=None, traceparent=None)

    record = ENVELOPE.event(Event(kind, delivery, transfer), NOW)

    data = body(record)
    assert (data["state"], data["jetState"], data["isRetry"]) == (
        state,
        jet_state,
        True,
    )
    assert (data["reason"] is not None) == (state == "failed")
    assert data["metadata"] is None
    assert "traceparent" not in headers(record)


def test_another_implementation_reads_our_cloudevents() -> None:
    record = ENVELOPE.event(Event(EventType.ACCEPTED, a_delivery(sequence=1)), NOW)
    raw = {name: value for name, value in record.headers if value is not None}

    message = KafkaMessage(raw, record.key, record.value or b"")
    event = from_binary_event(message, JSONFormat())

    assert event.get_id() == "c-1:1"
    assert event.get_type() == "io.jetworker.delivery.accepted"
    assert event.get_subject() == "c-1"
    assert event.get_extension("sequence") == "1"


def test_answers_carry_the_record_s_coordinates() -> None:
    origin = an_origin()
    duplicate = Duplicate(CommandId("c-1"), State.STARTED, DELIVERY)
    order = Resolve(CommandId("c-1"), Resolution.RESEND)

    said = ANSWERS.duplicate(duplicate, origin, NOW)
    applied = ANSWERS.applied(order, origin, NOW)
    cancelled = ANSWERS.applied(Cancel(CommandId("c-1")), origin, NOW)

    where = {"commandId": "c-1", "topic": "jet.commands", "partition": 0, "offset": 7}
    known = where | told("duplicate")
    done = where | told("applied")
    assert headers(said)["ce_id"] == "jet.commands:0:7"
    assert body(said) == known | {"state": "started", "deliveryId": DELIVERY}
    assert body(applied) == done | {"type": "resolve", "action": "resend"}
    assert body(cancelled) == done | {"type": "cancel", "action": None}


def test_a_rejected_record_is_answered_and_parked_byte_for_byte() -> None:
    reject = Reject(Rejection.INVALID_JSON, "not JSON")
    record = Record("jet.commands", b"key", b"\xff{", (("h", b"\x00"),))

    answer, parked = ANSWERS.rejected(reject, an_origin(), record, NOW)

    assert answer.key == b"key"
    assert "ce_subject" not in headers(answer)
    assert body(answer)["commandId"] is None
    assert (parked.topic, parked.key, parked.value) == (
        "jet.dead-letters",
        b"key",
        b"\xff{",
    )
    assert dict(parked.headers) == {
        "h": b"\x00",
        "jetworker-reason": b"invalid_json",
        "jetworker-message": b"not JSON",
        "jetworker-topic": b"jet.commands",
        "jetworker-partition": b"0",
        "jetworker-offset": b"7",
    }


def test_a_rejection_tells_what_could_be_read() -> None:
    problems = (("/route", "is unknown"),)
    reject = Reject(Rejection.UNKNOWN_ROUTE, "m", CommandId("c"), b'{"t":1}', problems)

    answer, _ = ANSWERS.rejected(reject, an_origin(), Record("t", b"k", b"v"), NOW)

    data = body(answer)
    assert answer.key == b"c"
    assert (data["metadata"], data["errors"]) == (
        {"t": 1},
        [{"path": "/route", "message": "is unknown"}],
    )


ROUTES = b"""
routes:
  one: {job_id: abc, max_active: 3, deadline: 24h, allowed_paths: [/ingest/]}
  two: {source: A, destination: B, growing_objects: {idle_timeout: 30s, part_size_mib: 16}}
  three: {job_name: n, when_paused: resume, on_uncertain: hold, paused: true}
"""


def test_a_routes_file_is_read() -> None:
    found = routes.decode(ROUTES, "routes.yaml")

    one, two, three = (found[RouteName(name)] for name in ("one", "two", "three"))
    assert (one.job_id, one.max_active, one.deadline) == ("abc", 3, timedelta(days=1))
    assert (two.job_name, two.growing and two.growing.part_size_mib) == ("two", 16)
    assert (three.job_name, three.on_uncertain) == ("n", OnUncertain.HOLD)
    assert [one.paused, two.paused, three.paused] == [False, False, True]
    assert two.growing is not None
    assert two.growing.idle_timeout == 30 * SECOND


def test_what_is_stated_of_a_job_is_read_and_is_nothing_by_default() -> None:
    text = b"""
routes:
  a: {job_id: x, exclusive: true, listing: complete}
  b: {job_id: x, exclusive: true, listing: complete, max_active: 3}
  c: {job_id: y}
  d: {job_id: z, starts_at_once: 4}
  e: {job_id: z, starts_at_once: 4, max_active: 3}
"""
    found = routes.decode(text, "routes.yaml").values()

    stated = [(each.is_exclusive, each.listing, each.starts_at_once) for each in found]
    assert stated == [
        (True, Listing.COMPLETE, None),
        (True, Listing.COMPLETE, None),
        (False, Listing.LEARNED, None),
        (False, Listing.LEARNED, 4),
        (False, Listing.LEARNED, 4),
    ]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("routes: {a: {}}", "routes.a.job_id"),
        ("routes: {a: {job_id: x, job_name: y}}", "routes.a.job_id"),
        ("routes: {a: {source: x}}", "routes.a.destination"),
        ("routes: {a: {destination: x}}", "routes.a.source"),
        ("routes: {a: {job_id: x, deadlin: 1h}}", "routes.a.deadlin"),
        ("routes: {a: {job_id: x, deadline: soon}}", "routes.a.deadline"),
        ("routes: {a: {job_id: x, max_active: 0}}", "routes.a.max_active"),
        ("routes: {a: {job_id: x, max_active: true}}", "routes.a.max_active"),
        ("routes: {a: {job_id: x, paused: 1}}", "routes.a.paused"),
        ("routes: {a: {job_id: ../x}}", "routes.a.job_id"),
        ("routes: {a: {job_id: a job's name}}", "routes.a.job_id"),
        ("routes: {a: {job_id: x, when_paused: run}}", "routes.a.when_paused"),
        ("routes: {a: {job_id: x, allowed_paths: [ingest]}}", "routes.a.allowed_paths"),
        (
            "routes: {a: {job_id: x, growing_objects: {idle_timeout: 1}}}",
            "growing_objects",
        ),
        ("routes: {a: {job_id: x}, a: {job_id: y}}", "a occurs twice"),
        ("routes: {a: {job_id: x, exclusive: 1}}", "routes.a.exclusive"),
        ("routes: {a: {job_id: x, listing: all}}", "routes.a.listing"),
        (
            "routes: {a: {job_id: x, exclusive: true}, b: {job_id: x}}",
            "routes.b.exclusive: routes.a",
        ),
        ('routes: {"[key]": {job_nam: x}}', "routes.[key].job_nam: is not a key"),
        ('routes: {"[key]": {job_name: 1}}', "routes.[key].job_name: must be text"),
        ("routes: {a: {job_id: x, starts_at_once: 9}}", "routes.a.starts_at_once"),
        ("routes: {a: {job_id: x, starts_at_once: true}}", "routes.a.starts_at_once"),
        (
            "routes: {a: {job_id: x, starts_at_once: 4}, b: {job_id: x}}",
            "routes.b.starts_at_once: routes.a",
        ),
        (
            "routes: {a: {job_name: x}, b: {job_name: x, listing: complete}}",
            "routes.b.listing: routes.a",
        ),
        ("routes: {}", "routes"),
        ("routes: [", "line"),
        ("\x00", "routes.yaml"),
        ("3", "the file"),
        ("", "the file"),
    ],
)
def test_a_wrong_routes_file_is_named_by_file_route_and_key(
    text: str, named: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        routes.decode(text.encode(), "routes.yaml")

    assert "routes.yaml" in str(caught.value)
    assert named in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rutes: {a: {job_id: x}}", "rutes: is not a key of the file, did you mean"),
        ("routes: {a: {destinaton: x}}", "of a route, did you mean destination?"),
        ("routes: {a: {Job_Name: x}}", "did you mean job_name?"),
        ("routes: {a: {job_name: x, colour: 1}}", "a route, remove or correct it"),
        (
            "routes: {a: {source: x, destination: y, growing_objects: {idle: 1s}}}",
            "routes.a.growing_objects.idle: is not a key of growing_objects",
        ),
        ("routes: {a: }", "routes.a: must be keys with values"),
        ("routes: [a]", "routes: must be keys with values"),
        ("", "the file: must be keys with values"),
        ("routes: {}", "routes: must not be empty"),
        ("routes: {1: {job_name: x}}", "routes.1: must be text: put it in quotes"),
        ("routes: {a: {job_name: 5}}", "job_name: must be text: put it in quotes"),
        ("routes: {a: {allowed_paths: /x}}", "allowed_paths: must be a list"),
        ("routes: {a: {allowed_paths: [x]}}", "allowed_paths.0: must begin with /"),
        ("routes: {a: {exclusive: maybe}}", "exclusive: must be true or false"),
        ("routes: {a: {max_active: ten}}", "max_active: must be a whole number"),
        ("routes: {a: {max_active: 0}}", "max_active: must be greater than"),
        ("routes: {a: {deadline: 0s}}", "deadline: must be greater than 0"),
        ("routes: {a: {when_paused: no}}", "when_paused: must be 'wait', 'fail' or"),
        *(
            (
                f"routes: {{a: {{starts_at_once: {wrong}}}}}",
                "routes.a.starts_at_once: must be auto, or a whole number from 1 to 8",
            )
            for wrong in ("9", "0", "true", "many", "1.5")
        ),
    ],
)
def test_a_wrong_routes_file_is_told_in_plain_words_with_the_cure(
    text: str, said: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        routes.decode(text.encode(), "routes.yaml")

    assert said in str(caught.value)
    assert not re.search(
        r"should|valid |Model|literal|timedelta|\[key\]", str(caught.value)
    )


def test_a_record_that_waited_for_jet_is_answered_and_parked_if_refused() -> None:
    pending = FULL.pending
    assert pending is not None
    adopt = Resolve(FULL.command_id, Resolution.ADOPT, DELIVERY)
    refuse = Reject(Rejection.NOT_ADOPTABLE, "no", FULL.command_id)
    waited = replace(pending, origin=an_origin(traceparent=None))

    (said,) = encode_answered(Answered(waited, Apply(adopt)), ANSWERS, NOW)
    no, parked = encode_answered(Answered(waited, refuse), ANSWERS, NOW)

    assert (body(said)["action"], body(said)["offset"]) == ("adopt", 7)
    assert body(no)["reason"]["code"] == "not_adoptable"
    assert (parked.key, parked.value) == (b"\xff", b"\x00")
    assert set(waited.headers) < set(parked.headers)


@dataclass(frozen=True)
class Published:
    """A record of the events topic, as far as it is read."""

    headers: tuple[tuple[str, bytes | None], ...]
    value: bytes
    partition: int | None


def test_an_event_is_read_as_it_was_published() -> None:
    accepted = a_delivery(sequence=1, told_on=3)
    told = ENVELOPE.event(Event(EventType.ACCEPTED, accepted), NOW)
    assert told.value is not None
    headers = (*told.headers, ("odd", None))

    seen = events.read(Published(headers, told.value, told.partition))

    assert seen == events.ReadEvent(
        "delivery.accepted",
        a_delivery().command_id,
        orjson.loads(told.value),
        told.value,
        a_delivery().traceparent,
        3,
    )


def test_the_row_of_a_delivery_is_the_latest_event_about_itself() -> None:
    delivery = replace(FULL, told_on=3)
    step = (
        Event(EventType.STARTED, delivery),
        Event(EventType.PROGRESSED, replace(delivery, sequence=9)),
        Event(EventType.TRANSFER_PROGRESSED, delivery, FULL.transfers[0]),
    )
    table = replace(ENVELOPE, deliveries="jet.deliveries")
    told = [table.event(event, NOW) for event in step]

    assert table.row(step, told) == (replace(told[1], topic="jet.deliveries"),)
    assert table.row(step[2:], told[2:]) == ()
    gone = Record("jet.deliveries", delivery.command_id.encode(), None, partition=3)
    assert table.gone(delivery.command_id, 3) == (gone,)


def test_without_a_topic_for_them_there_are_no_rows() -> None:
    step = (Event(EventType.STARTED, FULL),)

    assert ENVELOPE.row(step, [ENVELOPE.event(step[0], NOW)]) == ()
    assert ENVELOPE.gone(FULL.command_id, 3) == ()


def test_where_the_row_of_an_ended_delivery_is_is_read_as_it_was_written() -> None:
    ended = finish(a_delivery(State.COMPLETED, finished_at=NOW))
    elsewhere = replace(ended, told_on=5)

    assert snapshots.decode(snapshots.encode(elsewhere)) == elsewhere
    assert b'"on"' not in snapshots.encode(ended)


@pytest.mark.parametrize("delivery", [FULL, *(a_delivery(s) for s in State)])
@pytest.mark.parametrize("transfer", [None, *FULL.transfers])
def test_what_is_written_without_the_models_is_what_the_models_say(
    delivery: Delivery, transfer: Transfer | None
) -> None:
    kind = EventType.TRANSFER_FAILED if transfer else EventType.PROGRESSED
    model = events.TransferData if transfer else events.DeliveryData

    told = ENVELOPE.event(Event(kind, replace(delivery, sequence=3), transfer), NOW)

    assert told.value is not None
    written = orjson.loads(told.value)
    assert model.model_validate(written).model_dump(by_alias=True) == written
    assert list(written) == [
        to_camel(name) for base in (events.EventData, model) for name in own(base)
    ]


def own(model: type[events.EventData]) -> list[str]:
    """The names of a model's own fields, in their order."""
    inherited = {} if model is events.EventData else events.EventData.model_fields
    return [name for name in model.model_fields if name not in inherited]
