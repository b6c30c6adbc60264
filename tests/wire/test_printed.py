"""What the commands print with `--json`: the words of the events, and nothing left out."""

from dataclasses import replace

from jetworker.core.delivery import FailedObjects, Reason, ReasonCode, State
from jetworker.core.finished import finish
from jetworker.wire.printed import CheckedData, ChecksData, SentData, listed
from tests.support.builders import DELIVERY, JOB, NOW, a_delivery, a_progress

TIME = "2026-11-23T10:00:00.000Z"
ENDED = a_delivery(
    State.FAILED,
    published=State.FAILED,
    sequence=4,
    delivery_id=DELIVERY,
    reason=Reason(ReasonCode.JET_FAILED, "no"),
    progress=a_progress(),
    jet_state="FAILED",
    failed_objects=FailedObjects(1, ("/a.mov",)),
    metadata=b'{"a":1}',
    started_at=NOW,
    finished_at=NOW,
)


def test_an_ended_command_is_listed_as_its_last_event_told_it() -> None:
    assert listed(finish(ENDED), NOW) == listed(ENDED, NOW)
    assert listed(finish(ENDED), NOW).model_dump(by_alias=True) == {
        "commandId": "c-1",
        "sequence": 4,
        "route": "archive",
        "jobId": JOB,
        "deliveryId": DELIVERY,
        "state": "failed",
        "jetState": "FAILED",
        "adopted": False,
        "attempt": 1,
        "requested": {"count": 1, "bytes": 100},
        "progress": {
            "transferred": {"count": 1, "bytes": 100},
            "skipped": {"count": 0, "bytes": 0},
            "failed": {"count": 0, "bytes": 0},
        },
        "reason": {"code": "jet_failed", "message": "no"},
        "failedObjects": {"count": 1, "paths": ["/a.mov"]},
        "metadata": {"a": 1},
        "acceptedAt": TIME,
        "startedAt": TIME,
        "finishedAt": TIME,
        "changedAt": TIME,
    }


def test_what_was_not_kept_of_an_ended_command_is_null() -> None:
    old = replace(
        finish(ENDED), accepted_at=None, requested=None, progress=None, metadata=None
    )

    shown = listed(old, NOW)

    nothing = (shown.accepted_at, shown.requested, shown.progress, shown.metadata)
    assert nothing == (None, None, None, None)


def test_a_held_command_is_listed_as_its_events_tell_it() -> None:
    held = a_delivery(
        State.HELD, published=State.UNCERTAIN, reason=Reason(ReasonCode.HELD, "?")
    )

    shown = listed(held, NOW)

    assert (shown.state, shown.reason and shown.reason.code) == ("uncertain", "held")


def test_a_fact_that_is_absent_is_null() -> None:
    token = CheckedData(name="token", ok=True, message=None)

    assert ChecksData(ok=True, checks=(token,)).model_dump(by_alias=True) == {
        "ok": True,
        "checks": ({"name": "token", "ok": True, "message": None},),
    }


def test_names_are_those_of_the_events() -> None:
    sent = SentData(command_id="c-1", partition=3, offset=7)

    assert sent.model_dump(by_alias=True) == {
        "commandId": "c-1",
        "partition": 3,
        "offset": 7,
    }
