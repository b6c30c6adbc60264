"""The sandbox answers as Jet's documentation says: shapes, lists, jobs."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.jet.site import Site, body_of, write

TALLY = {"count": int, "bytes": int}
PROGRESS = {"transferred": TALLY, "skipped": TALLY, "failed": TALLY}
PLACE = {
    "accountId": str,
    "serviceId": str,
    "endpointId": str,
    "storageProfileType": str,
    "type": str,
    "url": str,
}
DELIVERY = {
    "metadata": {"jobId": str, "actionId": str, "baseUrl": str},
    "createdByUser": str,
    "lastModifiedByUser": str,
    "deliverySummary": PROGRESS,
    "state": str,
    "deliveryId": str,
    "createdOn": str,
    "lastModifiedOn": str,
    "lastEventTime": str,
    "serviceId": str,
    "transfers": [{"transferId": str}],
}
TRANSFER = {
    "metadata": {
        "isRetry": bool,
        "jobId": str,
        "executionId": str,
        "deliveryId": str,
        "deliveryBatchId": str,
        "disableRetry": bool,
    },
    "source": PLACE,
    "destination": PLACE,
    "options": {"areGrowingObjects": bool},
    "transferProgress": PROGRESS,
    "createdOn": str,
    "lastModifiedOn": str,
    "transferId": str,
    "state": str,
}


def shape(value: Any, like: Any) -> Any:
    """Return the types of what *like* names; what it does not name is left out."""
    if isinstance(like, dict):
        return {name: shape(value.get(name), each) for name, each in like.items()}
    if isinstance(like, list):
        return [shape(each, like[0]) for each in value[:1]]
    return type(value)


async def test_a_delivery_and_its_transfers_have_the_shape_of_the_vendors_page(
    site: Site,
) -> None:
    write(site.source, {"/a": b"a"})
    delivery = await site.start("/a")
    done = await site.finished(delivery)

    assert shape(done, DELIVERY) == DELIVERY
    (transfer,) = await site.transfers(delivery)
    assert shape(transfer, TRANSFER) == TRANSFER
    assert transfer["source"]["url"] == site.source.as_uri()
    for name in ("createdOn", "lastModifiedOn", "lastEventTime"):
        moment = datetime.fromisoformat(done[name])
        assert (done[name][-1], moment.utcoffset()) == ("Z", timedelta())
        assert abs(datetime.now(UTC) - moment) < timedelta(minutes=1)


async def test_a_start_is_answered_with_its_objects_and_an_id(site: Site) -> None:
    objects = [
        {"relativePath": "/a", "sizeInBytes": 5},
        {"relativePath": "/b", "isDirectory": True},
    ]

    job = await site.job()
    answer = await site.ask("POST", f"{job}/deliveries", {"objects": objects})

    assert answer == {
        "objects": [
            {"relativePath": "/a", "sizeInBytes": 5},
            {"relativePath": "/b", "sizeInBytes": 0},
        ],
        "deliveryId": answer["deliveryId"],
    }


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/storageProfiles", None),
        ("POST", "/v1/storageProfiles/search", {}),
        ("GET", "/v1/jobs", None),
        ("POST", "/v1/jobs/search", {}),
        ("GET", "{job}/transfers?state=IN_PROGRESS", None),
        ("GET", "{job}/files", None),
    ],
)
async def test_lists_are_wrapped(site: Site, method: str, path: str, body: Any) -> None:
    answer = await site.ask(method, path.format(job=await site.job()), body)

    assert isinstance(answer["items"], list)
    assert set(answer) - {"items", "totalResultCount"} == set()


async def test_paused_is_absent_until_somebody_pauses_or_resumes(site: Site) -> None:
    job = await site.job()
    before = await site.ask("GET", job)

    answers = [
        await site.ask("PATCH", job, {"paused": paused}) for paused in (True, False)
    ]

    assert "paused" not in before
    assert [each["paused"] for each in answers] == [True, False]
    assert await site.ask("GET", job) == answers[1]


async def test_a_paused_job_cannot_be_started_and_says_so(site: Site) -> None:
    write(site.source, {"/a": b"a"})
    job = await site.job()
    await site.ask("PATCH", job, {"paused": True})

    answer = await site.ask("POST", f"{job}/deliveries", body_of("/a"), status=400)

    assert "paused" in answer["message"]
    assert (await site.ledger())["creations"] == []
    search = await site.ask("POST", "/v1/jobs/search", {"query": {"text": "COPY"}})
    assert [each["status"] for each in search["items"]] == ["PAUSED"]
    await site.ask("PATCH", job, {"paused": False})
    assert (await site.copied("/a"))["state"] == "COMPLETED"


async def test_a_job_is_made_as_the_vendors_page_shows_and_found(site: Site) -> None:
    profiles = (await site.ask("GET", "/v1/storageProfiles"))["items"]
    ids = {each["name"]: each["storageProfileId"] for each in profiles}
    data = {
        "source": {"storageProfileId": ids["Source"]},
        "destination": {"storageProfileId": ids["Target"]},
        "transferOptions": {
            "areGrowingObjects": True,
            "growingObjects": {"growingIdleTimeoutInSeconds": 5},
            "partSizeInMiB": 10,
        },
    }
    body = {"name": "Manual Job", "actions": [{"type": "TRANSFER", "data": data}]}

    made = await site.ask("POST", "/v1/jobs", body)

    (action,) = made["actions"]
    assert (made["name"], action["type"], action["data"]) == (
        "Manual Job",
        "TRANSFER",
        data,
    )
    assert await site.ask("GET", f"/v1/jobs/{made['jobId']}") == made
    search = await site.ask("POST", "/v1/jobs/search", {"query": {"text": "manual"}})
    (found,) = search["items"]
    assert (found["jobId"], found["jobName"]) == (made["jobId"], "Manual Job")
    assert found["storageProfileIds"] == [ids["Source"], ids["Target"]]


async def test_a_search_has_pages(site: Site) -> None:
    pages = [
        await site.ask("POST", "/v1/jobs/search", {"offset": offset, "limit": 1})
        for offset in range(3)
    ]

    names = [[each["jobName"] for each in page["items"]] for page in pages]
    assert names == [["copy"], ["grow"], []]
    assert {page["totalResultCount"] for page in pages} == {2}


async def test_the_controls_explain_themselves(site: Site) -> None:
    text = (await site.http.get("/_sandbox/")).text

    for path in ("ledger", "faults", "settings", "deliveries"):
        assert f"/_sandbox/{path}" in text
