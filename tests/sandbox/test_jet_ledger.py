"""The ledger: every request and every creation, append-only, without secrets."""

import asyncio
from hashlib import sha256
from itertools import pairwise

import httpx
import pytest

from tests.support.jet.site import CREDENTIALS, Document, Site, body_of, write

TIME_TO_ANSWER = {"status", "fault"}  # what is filled in later


def fixed(entries: list[Document]) -> list[Document]:
    return [{k: v for k, v in e.items() if k not in TIME_TO_ANSWER} for e in entries]


async def test_every_request_is_written_down_with_its_answer(site: Site) -> None:
    job = await site.job()
    job_id = job.rpartition("/")[2]
    body = b'{"objects":[{"relativePath":"/a"}]}'
    answer = await site.http.post(f"{job}/deliveries", content=body)
    delivery_id = answer.json()["deliveryId"]
    await site.ask("GET", f"{job}/deliveries/{delivery_id}")
    await site.ask("GET", f"{job}/transfers?state=NONE", status=400)
    await site.ask("GET", "/v1/undocumented", status=404)

    requests = (await site.ledger())["requests"]

    wanted = ("operation", "method", "query", "job", "delivery", "status")
    assert [tuple(each[name] for name in wanted) for each in requests] == [
        ("token", "POST", "", None, None, 200),
        ("list_jobs", "GET", "", None, None, 200),
        ("start_delivery", "POST", "", job_id, None, 200),
        ("get_delivery", "GET", "", job_id, delivery_id, 200),
        ("list_transfers", "GET", "state=NONE", job_id, None, 400),
        ("unknown", "GET", "", None, None, 404),
    ]
    assert [each["body"] for each in requests[1:3]] == [None, sha256(body).hexdigest()]
    assert {each["fault"] for each in requests} == {None}


async def test_a_creation_names_its_request_its_objects_and_who_made_it(
    site: Site,
) -> None:
    job = await site.job()
    job_id = job.rpartition("/")[2]
    own = (await site.start("/a", "/b/")).rpartition("/")[2]
    body = {"job": job_id, **body_of("/c")}
    foreign = (await site.ask("POST", "/_sandbox/deliveries", body))["deliveryId"]

    ledger = await site.ledger()

    first, second = ledger["creations"]
    (request,) = (e for e in ledger["requests"] if e["operation"] == "start_delivery")
    assert (first["deliveryId"], first["objects"]) == (own, ["/a", "/b"])
    assert (first["request"], first["connection"], first["foreign"]) == (
        request["n"],
        request["connection"],
        False,
    )
    assert (second["deliveryId"], second["request"], second["foreign"]) == (
        foreign,
        None,
        True,
    )
    shown = (await site.ask("GET", job))["deliveries"]
    assert [each["deliveryId"] for each in shown] == [own, foreign]


async def test_a_foreign_delivery_cannot_be_started_where_none_could(
    site: Site,
) -> None:
    job = await site.job()
    job_id = job.rpartition("/")[2]
    await site.ask("PATCH", job, {"paused": True})

    bodies: list[Document] = [
        {"job": job_id, **body_of("/c")},
        {"job": "none", **body_of("/c")},
        {"job": job_id},
        {"job": job_id, "objects": []},
    ]
    for body in bodies:
        await site.ask("POST", "/_sandbox/deliveries", body, status=400)

    assert (await site.ledger())["creations"] == []


async def test_the_ledger_is_only_ever_appended_to(site: Site) -> None:
    """Whatever is asked at the same time, each reading begins with the one before."""
    write(site.source, {"/a": b"a"})
    job = await site.job()
    await site.fault("*", "status", times=None, probability=0.3)
    urls = ("/v1/jobs", job, f"{job}/files", "/v1/jobs/none")
    readings = []
    for _ in range(5):
        asked = [site.http.get(url) for url in urls * 3]
        starts = (
            site.http.post(f"{job}/deliveries", json=body_of("/a")) for _ in range(3)
        )
        await asyncio.gather(*asked, *starts)
        readings.append(await site.ledger())

    for before, after in pairwise(readings):
        for kind in ("requests", "creations"):
            then = fixed(before[kind])
            assert fixed(after[kind])[: len(then)] == then
            assert len(after[kind]) > len(then) or kind == "creations"
    last = readings[-1]
    numbers = sorted(e["n"] for kind in ("requests", "creations") for e in last[kind])
    assert numbers == list(range(1, last["last"] + 1))


async def test_a_reader_can_go_on_from_where_it_was(site: Site) -> None:
    await site.start("/a")
    first = await site.ledger()
    await site.start("/b")

    news = await site.ledger(since=first["last"])

    whole = await site.ledger()
    for kind in ("requests", "creations"):
        assert [*first[kind], *news[kind]] == whole[kind]
    assert (await site.ledger(since=whole["last"]))["requests"] == []
    await site.ask("GET", "/_sandbox/ledger?since=yesterday", status=400)


async def test_a_request_that_is_never_answered_has_no_status(site: Site) -> None:
    job = await site.job()
    await site.fault("get_job", "lost_before")
    with pytest.raises(httpx.TransportError):
        await site.http.get(job)

    (*_, lost) = (await site.ledger())["requests"]

    assert (lost["operation"], lost["status"], lost["fault"]) == (
        "get_job",
        None,
        "lost_before",
    )


async def test_the_ledger_holds_no_secret_and_no_token(site: Site) -> None:
    await site.ask(
        "POST", "/oauth/token", CREDENTIALS | {"client_secret": "gu3ss"}, 401
    )
    await site.ask("GET", "/v1/jobs")
    token = str(site.http.headers["Authorization"]).removeprefix("Bearer ")

    said = (await site.http.get("/_sandbox/ledger")).text

    for secret in ("gu3ss", "demo-secret", token):
        assert secret not in said
    guesses = (await site.ledger())["requests"][:2]
    assert [each["body"] for each in guesses] == [
        None,
        None,
    ]  # nor a digest to guess at


async def test_what_is_asked_under_sandbox_is_not_in_the_ledger_and_cannot_change_it(
    site: Site,
) -> None:
    before = await site.ledger()

    for path in ("ledger", "faults", "settings", ""):
        await site.http.get(f"/_sandbox/{path}")

    for method in ("DELETE", "POST", "PUT", "PATCH"):
        answer = await site.http.request(method, "/_sandbox/ledger")
        assert answer.status_code == 405

    assert await site.ledger() == before
