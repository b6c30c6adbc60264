"""Answers get lost or spoilt: what was asked for has happened, or not, or will."""

import asyncio

import httpx
import pytest

from tests.support.jet.site import Site, body_of, tree, write
from tests.support.waiting import until


@pytest.fixture
async def ready(site: Site) -> Site:
    write(site.source, {"/a": b"content"})
    return site


async def start(site: Site) -> httpx.Response:
    return await site.http.post(f"{await site.job()}/deliveries", json=body_of("/a"))


async def all_applied() -> None:
    """Wait until the sandbox has nothing more to apply late."""
    await until(
        lambda: all(task.get_name() != "late" for task in asyncio.all_tasks()),
        "the end of what is applied late",
    )


async def created(site: Site) -> int:
    return len((await site.ledger())["creations"])


@pytest.mark.parametrize(
    ("kind", "at_once", "later"),
    [("lost_before", 0, 0), ("lost_after", 1, 1), ("late_apply", 0, 1)],
)
async def test_an_answer_is_lost_before_after_or_long_before_it_is_applied(
    ready: Site, kind: str, at_once: int, later: int
) -> None:
    await ready.fault("start_delivery", kind, seconds=1.0)

    with pytest.raises(httpx.TransportError):
        await start(ready)

    assert await created(ready) == at_once
    await all_applied()
    await until(lambda: len(tree(ready.target)) == later, "the file that was asked for")
    ledger = await ready.ledger()
    assert len(ledger["creations"]) == later
    (request,) = (e for e in ledger["requests"] if e["operation"] == "start_delivery")
    assert (request["status"], request["fault"]) == (None, kind)


async def test_a_late_start_that_is_refused_by_then_is_refused_quietly(
    ready: Site, caplog: pytest.LogCaptureFixture
) -> None:
    job = await ready.job()
    await ready.fault("start_delivery", "late_apply", seconds=1.0)
    with pytest.raises(httpx.TransportError):
        await start(ready)
    await ready.ask("PATCH", job, {"paused": True})

    await all_applied()

    assert await created(ready) == 0
    assert caplog.records == []


async def test_a_start_without_a_token_is_not_applied_late_either(ready: Site) -> None:
    job = await ready.job()
    await ready.fault("start_delivery", "late_apply", seconds=0.0)
    with pytest.raises(httpx.TransportError):
        await ready.http.post(
            f"{job}/deliveries",
            json=body_of("/a"),
            headers={"Authorization": "Bearer nonsense"},
        )

    await all_applied()

    assert await created(ready) == 0


async def test_garbage_is_no_json_but_was_applied(ready: Site) -> None:
    await ready.fault("start_delivery", "garbage")

    answer = await start(ready)

    assert (answer.status_code, answer.text) == (200, "<html>oops")
    assert await created(ready) == 1


async def test_an_answer_can_break_off_in_the_middle(
    ready: Site, caplog: pytest.LogCaptureFixture
) -> None:
    await ready.fault("start_delivery", "truncate")

    with pytest.raises(httpx.TransportError):
        await start(ready)

    assert await created(ready) == 1
    assert caplog.records == []


async def test_an_answer_can_be_larger_than_anybody_should_read(ready: Site) -> None:
    await ready.fault("list_jobs", "huge")

    async with ready.http.stream("GET", "/v1/jobs") as answer:
        assert int(answer.headers["Content-Length"]) > 64 << 20


@pytest.mark.parametrize(
    "operation", ["get_delivery", "get_transfer", "list_transfers"]
)
async def test_a_state_can_be_one_that_nobody_knows(
    ready: Site, operation: str
) -> None:
    await ready.tune(bandwidth=1)
    delivery = await ready.start("/a")
    job = delivery.partition("/deliveries/")[0]
    url = f"{job}/transfers?state=IN_PROGRESS"

    async def is_listed() -> bool:
        return bool((await ready.ask("GET", url))["items"])

    await until(is_listed, "a transfer in progress")
    (item,) = (await ready.ask("GET", url))["items"]
    transfer = f"{job}/transfers/{item['transferId']}"
    await ready.fault(operation, "unknown_state")

    asked = {"get_delivery": delivery, "get_transfer": transfer, "list_transfers": url}
    answer = await ready.ask("GET", asked[operation])

    shown = answer["items"] if operation == "list_transfers" else [answer]
    assert [each["state"] for each in shown] == ["PONDERING"]
    assert (await ready.ask("GET", delivery))["state"] == "IN_PROGRESS"


async def test_an_unknown_state_makes_no_state_where_none_is_shown(
    ready: Site,
) -> None:
    await ready.fault("*", "unknown_state", times=2)

    assert "state" not in await ready.ask("GET", "/v1/jobs")
    assert set(await ready.ask("GET", "/v1/jobs/none", status=404)) == {"message"}
