"""Records as rows of the installation: what is kept of each, and what is left in Kafka."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import orjson
import pytest

from jetworker.core.command import CommandId
from jetworker.core.delivery import FailedObjects, Reason, ReasonCode, State
from jetworker.core.finished import finish
from jetworker.core.installation import (
    Gone,
    Letter,
    Position,
    Row,
    Told,
)
from jetworker.wire import rows, snapshots
from tests.support.builders import DELIVERY, JOB, NOW, a_delivery, a_progress

AT = Position(2, 40)


@dataclass(frozen=True)
class AKafkaRecord:
    """A record as aiokafka gives it."""

    key: bytes | None = b"c-1"
    value: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    partition: int = 2
    offset: int = 40
    timestamp: int = int(NOW.timestamp() * 1000)


def test_an_open_delivery_is_a_row_with_its_progress() -> None:
    delivery = a_delivery(State.IN_PROGRESS, progress=a_progress(1, 50))

    found = rows.read_row(AKafkaRecord(value=snapshots.encode(delivery)))

    assert found == Row(
        command_id=delivery.command_id,
        route=delivery.route,
        state=State.IN_PROGRESS,
        changed_at=NOW,
        at=AT,
        attempt=1,
        delivery_id=DELIVERY,
        job_id=JOB,
        accepted_at=NOW,
        started_at=NOW,
        requested=delivery.requested,
        progress=a_progress(1, 50),
    )


def test_a_finished_delivery_is_a_row_with_its_end() -> None:
    reason = Reason(ReasonCode.EXPIRED, "too late")
    ended = a_delivery(State.FAILED, reason=reason, job_id=None, delivery_id=None)

    found = rows.read_row(AKafkaRecord(value=snapshots.encode(finish(ended))))

    assert found == Row(
        command_id=ended.command_id,
        route=ended.route,
        state=State.FAILED,
        changed_at=NOW,
        at=AT,
        attempt=1,
        reason=reason,
        accepted_at=NOW,
        started_at=NOW,
        finished_at=NOW,
        requested=ended.requested,
    )


def test_a_tombstone_says_who_is_gone_and_the_worker_s_own_records_say_nothing() -> (
    None
):
    assert rows.read_row(AKafkaRecord()) == Gone(CommandId("c-1"), AT)
    assert rows.read_row(AKafkaRecord(key=snapshots.BARRIER, value=b"{}")) is None


def test_an_unreadable_snapshot_is_said_to_be_one() -> None:
    with pytest.raises(snapshots.UnreadableSnapshot):
        rows.read_row(AKafkaRecord(value=b'{"v":99}'))


def test_of_an_event_only_its_place_is_kept_and_which_objects_failed() -> None:
    told = (("ce_subject", b"c-1"), ("ce_type", b"io.jetworker.delivery.failed"))
    paths = [f"/{number}.mov" for number in range(5)]
    value = orjson.dumps({"failedObjects": {"count": 7, "paths": paths}})
    failed = AKafkaRecord(value=value, headers=told)
    started = replace(
        failed,
        headers=(("ce_subject", b"c-1"), ("ce_type", b"io.jetworker.delivery.started")),
    )

    assert rows.read_told(failed) == Told(
        CommandId("c-1"), AT, FailedObjects(7, ("/0.mov", "/1.mov", "/2.mov"))
    )
    assert rows.read_told(replace(failed, value=b"{}")) == Told(CommandId("c-1"), AT)
    assert rows.read_told(started) == Told(CommandId("c-1"), AT)
    assert rows.read_told(AKafkaRecord(value=value)) is None


def test_a_dead_letter_says_why_and_where_it_was_read() -> None:
    headers = (
        ("mine", None),
        ("jetworker-reason", b"unknown_route"),
        ("jetworker-message", b"x" * 1000),
        ("jetworker-topic", b"jet.commands"),
        ("jetworker-partition", b"3"),
        ("jetworker-offset", b"17"),
        ("jetworker-replayed-from", b"0:4"),
    )

    assert rows.read_letter(AKafkaRecord(b"k\xff", b"{", headers)) == Letter(
        at=AT,
        parked_at=NOW,
        reason="unknown_route",
        message="x" * 300,
        key="k\ufffd",
        topic="jet.commands",
        origin=Position(3, 17),
        is_replay=True,
    )


def test_a_mark_says_which_letter_was_replayed_and_a_letter_is_none() -> None:
    mark = (("jetworker-replayed", b"3:17"),)

    assert rows.read_mark(AKafkaRecord(headers=mark)) == Position(3, 17)
    assert rows.read_mark(AKafkaRecord(value=b"{")) is None


def test_a_record_that_somebody_else_put_there_is_a_letter_too() -> None:
    assert rows.read_letter(AKafkaRecord(None, None)) == Letter(
        AT, datetime.fromtimestamp(NOW.timestamp(), UTC), "unknown", ""
    )
