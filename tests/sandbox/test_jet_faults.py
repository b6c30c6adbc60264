"""Faults are set at run time and strike what they name, as often as they say."""

import asyncio
import itertools
from pathlib import Path
from typing import Any

import httpx
import pytest

from jetworker.sandbox.jet.faults import KINDS, OPERATIONS
from tests.support.jet import site as sandboxes
from tests.support.jet.site import CREDENTIALS, Site, body_of, write
from tests.support.waiting import until

HERE = Path(__file__).parent
ENDS = {
    "source": {"storageProfileId": "Source"},
    "destination": {"storageProfileId": "Target"},
}
NEW_JOB = {"name": "new", "actions": [{"type": "TRANSFER", "data": ENDS}]}
REQUESTS: dict[str, tuple[str, str, Any]] = {
    "token": ("POST", "/oauth/token", CREDENTIALS),
    "list_profiles": ("GET", "/v1/storageProfiles", None),
    "search_profiles": ("POST", "/v1/storageProfiles/search", {}),
    "list_jobs": ("GET", "/v1/jobs", None),
    "search_jobs": ("POST", "/v1/jobs/search", {}),
    "get_job": ("GET", "{job}", None),
    "create_job": ("POST", "/v1/jobs", NEW_JOB),
    "set_paused": ("PATCH", "{job}", {"paused": False}),
    "delete_job": ("DELETE", "{job}", None),
    "start_delivery": ("POST", "{job}/deliveries", body_of("/a")),
    "get_delivery": ("GET", "{delivery}", None),
    "list_transfers": ("GET", "{job}/transfers?state=IN_PROGRESS", None),
    "get_transfer": ("GET", "{transfer}", None),
    "list_files": ("GET", "{job}/files", None),
    "list_subscriptions": ("GET", "/v1/subscriptions", None),
    "subscribe": ("POST", "/v1/subscriptions", None),
    "unsubscribe": ("DELETE", "{subscription}", None),
}


@pytest.fixture
async def ready(site: Site) -> Site:
    write(site.source, {"/a": b"content"})
    return site


async def start(site: Site) -> httpx.Response:
    return await site.http.post(f"{await site.job()}/deliveries", json=body_of("/a"))


async def created(site: Site) -> int:
    return len((await site.ledger())["creations"])


def test_every_operation_has_a_request_here() -> None:
    assert {*REQUESTS, "*"} == set(OPERATIONS)


@pytest.mark.parametrize("operation", REQUESTS)
async def test_a_fault_strikes_the_operation_it_names_once_and_no_other(
    ready: Site, operation: str
) -> None:
    job = await ready.job()
    delivery = await ready.start("/a")
    done = await ready.finished(delivery)
    transfer = f"{job}/transfers/{done['transfers'][0]['transferId']}"
    subscribing = {
        "eventCategory": "JET_DELIVERY",
        "eventFilterConfig": {"jobId": job.rpartition("/")[2]},
        "notificationMethod": "WEBHOOK",
        "notificationConfig": {"url": "http://127.0.0.1:9/"},
    }
    made = (await ready.http.post("/v1/subscriptions", json=subscribing)).json()
    subscription = f"/v1/subscriptions/{made['subscriptionId']}"
    await ready.fault(operation, "status", status=418)

    last = (*(o for o in REQUESTS if o != "delete_job"), "delete_job")
    answers = {}
    for each in last:
        method, path, body = REQUESTS[each]
        url = path.format(
            job=job, delivery=delivery, transfer=transfer, subscription=subscription
        )
        body = subscribing if each == "subscribe" else body
        answers[each] = (await ready.http.request(method, url, json=body)).status_code

    assert answers == dict.fromkeys(REQUESTS, 200) | {operation: 418}
    assert (await ready.ask("GET", "/_sandbox/faults"))["faults"] == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 429, 500, 502, 503, 504])
async def test_a_status_is_answered_instead_and_nothing_is_done(
    ready: Site, status: int
) -> None:
    await ready.fault("start_delivery", "status", status=status)

    first, second = await start(ready), await start(ready)

    assert (first.status_code, second.status_code) == (status, 200)
    assert "message" in first.json()
    assert await created(ready) == 1


@pytest.mark.parametrize("patience", ["7", "Wed, 21 Oct 2026 07:28:00 GMT"])
async def test_too_many_requests_say_when_to_come_back(
    ready: Site, patience: str
) -> None:
    await ready.fault("list_jobs", "status", status=429, retry_after=patience)

    answer = await ready.http.get("/v1/jobs")

    assert (answer.status_code, answer.headers["Retry-After"]) == (429, patience)


async def test_a_delay_is_only_a_delay(ready: Site) -> None:
    await ready.fault("get_job", "delay", seconds=0.3)
    job = await ready.job()
    begun = asyncio.get_running_loop().time()

    await ready.ask("GET", job)

    assert asyncio.get_running_loop().time() - begun > 0.29


async def test_tokens_expire_all_at_once(ready: Site) -> None:
    await ready.fault("get_job", "expire_tokens")
    job = await ready.job()

    await ready.ask("GET", job, status=401)

    await ready.ask("GET", "/v1/jobs", status=401)
    await ready.sign_in()
    await ready.ask("GET", job)


async def test_a_listing_lags_behind_what_was_started(ready: Site) -> None:
    await ready.tune(listing_lag_seconds=600)
    job = await ready.job()

    delivery = await ready.start("/a")

    assert (await ready.ask("GET", job))["deliveries"] == []
    assert (await ready.ask("GET", delivery))["deliveryId"] in delivery
    await ready.tune(listing_lag_seconds=0.5)

    async def is_shown() -> bool:
        return bool((await ready.ask("GET", job))["deliveries"])

    await until(is_shown, "the delivery to be listed")


@pytest.mark.parametrize(("visible", "shown"), [("yes", 2), ("latest", 1), ("no", 0)])
async def test_a_job_shows_all_the_latest_or_none_of_its_deliveries(
    ready: Site, visible: str, shown: int
) -> None:
    started = [(await ready.start("/a")).rpartition("/")[2] for _ in range(2)]
    await ready.tune(deliveries_visible=visible)

    document = await ready.ask("GET", await ready.job())

    ids = [each["deliveryId"] for each in document["deliveries"]]
    assert ids == started[2 - shown :]


async def test_a_fault_can_be_for_one_job_only_and_for_good(ready: Site) -> None:
    one, other = await ready.job("copy"), await ready.job("grow")
    job_id = one.rpartition("/")[2]
    await ready.fault("*", "status", times=None, job=job_id)

    for _ in range(3):
        await ready.ask("GET", one, status=503)
        await ready.ask("GET", other)

    assert await ready.ask("DELETE", "/_sandbox/faults") == {"faults": []}
    await ready.ask("GET", one)


async def test_a_fault_strikes_as_often_as_it_says_and_tells_how_often_is_left(
    ready: Site,
) -> None:
    await ready.fault("list_jobs", "status", status=500, times=3)

    await ready.ask("GET", "/v1/jobs", status=500)

    (left,) = (await ready.ask("GET", "/_sandbox/faults"))["faults"]
    assert left == {
        "operation": "list_jobs",
        "kind": "status",
        "status": 500,
        "retry_after": None,
        "seconds": 1.0,
        "times": 2,
        "probability": 1.0,
        "job": None,
    }


async def test_luck_repeats_itself_with_the_same_seed(tmp_path: Path) -> None:
    runs = []
    for _ in range(2):
        async with sandboxes.site(tmp_path) as site:
            await site.fault("list_jobs", "status", times=None, probability=0.5)
            answers = [(await site.http.get("/v1/jobs")).status_code for _ in range(60)]
            runs.append(answers)

    assert runs[0] == runs[1]
    assert set(runs[0]) == {200, 503}
    assert len(list(itertools.groupby(runs[0]))) > 5


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({}, "operation is required"),
        ({"operation": "list_jobs"}, "kind is required"),
        ({"operation": "list_job", "kind": "delay"}, "operation must be one of token"),
        ({"operation": "*", "kind": "explode"}, "kind must be one of status"),
        ({"operation": "*", "kind": "status", "status": 99}, "status must be"),
        ({"operation": "*", "kind": "status", "status": 1000}, "status must be"),
        ({"operation": "*", "kind": "delay", "second": 1}, "second is not known"),
        ({"operation": "*", "kind": "delay", "times": 0}, "times must be"),
        ({"operation": "*", "kind": "delay", "seconds": -1}, "seconds must be"),
        (
            {"operation": "*", "kind": "status", "retry_after": "1\r\nX: y"},
            "retry_after must be",
        ),
        (
            {"operation": "*", "kind": "status", "probability": 1.5},
            "probability must be",
        ),
        ([], "the body must be a JSON object"),
    ],
)
async def test_a_fault_that_could_not_strike_is_refused(
    site: Site, fault: Any, said: str
) -> None:
    answer = await site.ask("POST", "/_sandbox/faults", fault, status=400)

    assert said in answer["message"]
    assert await site.ask("GET", "/_sandbox/faults") == {"faults": []}


def test_every_kind_of_fault_is_tried_here() -> None:
    """The names of the kinds stand in these tests; a new one needs its test."""
    here = "".join(p.read_text(encoding="utf-8") for p in HERE.glob("test_jet_*.py"))

    assert [kind for kind in KINDS if f'"{kind}"' not in here] == []
