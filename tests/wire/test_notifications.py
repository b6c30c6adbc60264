"""Of a notification two names are read, and nothing else is believed."""

from dataclasses import replace

import orjson
import pytest

from jetworker.core.command import DeliveryId, JobId, SubscriptionId
from jetworker.core.observation import Hint, Listed, Subscription
from jetworker.wire import jet
from jetworker.wire.notifications import decode

HINT = Hint(JobId("j-1"), DeliveryId("d-1"))


def an_event(**delivery: object) -> dict[str, object]:
    """Return an event as Jet's page shows it."""
    named = {"jobId": "j-1", "deliveryId": "d-1", "state": "COMPLETED", **delivery}
    return {"id": "e", "type": "any", "specversion": "1.0", "data": {"delivery": named}}


def test_each_delivery_that_is_named_is_a_hint_once() -> None:
    events = [an_event(), an_event(state="FAILED"), an_event(deliveryId="d-2")]

    found = decode(orjson.dumps({"subscriptionId": "s", "events": events}))

    assert found == (HINT, Hint(JobId("j-1"), DeliveryId("d-2")))


@pytest.mark.parametrize(
    ("states", "is_running"),
    [
        (["QUEUED"], True),
        (["CREATED", "QUEUED", "SCHEDULED", "IN_PROGRESS"], True),
        (["IN_PROGRESS", "COMPLETED"], False),
        (["FAILED", "IN_PROGRESS"], False),
        (["anything"], False),
        ([None], False),
        ([["QUEUED"]], False),
    ],
)
def test_a_question_may_wait_where_a_delivery_is_said_to_go_on_and_nothing_else(
    states: list[object], *, is_running: bool
) -> None:
    events = [an_event(state=each) for each in states]

    assert decode(orjson.dumps({"events": events})) == (
        replace(HINT, is_running=is_running),
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b'{"events": {}}',
        b'{"events": [1, null, [], {}, {"data": []}, {"data": {"delivery": 7}}]}',
        orjson.dumps({"events": [an_event(jobId="../x"), an_event(deliveryId=7)]}),
    ],
)
def test_what_names_nothing_is_no_hint(body: bytes) -> None:
    assert decode(body) == ()


def test_a_body_names_at_most_a_hundred() -> None:
    events = [an_event(deliveryId=f"d-{n}") for n in range(300)]

    assert len(decode(orjson.dumps({"events": events}))) == 100


@pytest.mark.parametrize("wrap", ["items", "subscriptions", "events", None])
def test_subscriptions_are_read_however_they_are_wrapped(wrap: str | None) -> None:
    ours = {
        "subscriptionId": "s-1",
        "eventCategory": "JET_DELIVERY",
        "eventFilterConfig": {"jobId": "j-1"},
        "notificationConfig": {"url": "https://a.example/x"},
    }
    other = {"subscriptionId": "s-2", "eventCategory": "JET_JOB"}
    shown = [ours, other, {"no": "id"}]

    found = jet.subscriptions({wrap: shown} if wrap else shown)

    assert found == Listed(
        (
            Subscription(SubscriptionId("s-1"), JobId("j-1"), "https://a.example/x"),
            Subscription(SubscriptionId("s-2"), JobId(""), ""),
        ),
        3,
    )


def test_a_subscription_asks_for_all_that_becomes_of_a_job_s_deliveries() -> None:
    body = jet.subscription_body(JobId("j-1"), "https://a.example/x")

    assert orjson.loads(body) == {
        "eventCategory": "JET_DELIVERY",
        "eventFilterConfig": {"jobId": "j-1"},
        "notificationMethod": "WEBHOOK",
        "notificationConfig": {"url": "https://a.example/x"},
    }
