"""The sandbox says no as Jet does: tokens, unknown ids, wrong bodies."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from jetworker.sandbox.jet.tokens import Tokens
from tests.support.fakes import HandClock
from tests.support.jet import site as sandboxes
from tests.support.jet.site import CREDENTIALS, Document, Site, body_of, write


async def test_a_token_is_for_the_right_client_only_and_says_how_long(
    site: Site,
) -> None:
    answer = await site.ask("POST", "/oauth/token", CREDENTIALS)
    assert answer == {
        "access_token": answer["access_token"],
        "expires_in": 3600,
        "token_type": "Bearer",
    }
    assert isinstance(answer["expires_in"], int)

    wrong: list[tuple[Document, int]] = [
        ({"client_secret": "guess"}, 401),
        ({"client_id": "other"}, 401),
        ({"client_id": "demo\ndemo", "client_secret": "secret"}, 401),
        ({"grant_type": "password"}, 400),
        ({"client_secret": None}, 400),
    ]
    for change, status in wrong:
        refused = await site.ask("POST", "/oauth/token", CREDENTIALS | change, status)
        assert set(refused) == {"message"}
        assert "demo-secret" not in refused["message"]


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer x", "Basic ZGVtbw=="])
async def test_nothing_is_answered_without_a_token(
    site: Site, header: str | None
) -> None:
    job = await site.job()
    del site.http.headers["Authorization"]
    if header is not None:
        site.http.headers["Authorization"] = header

    for method, path in [
        ("GET", "/v1/jobs"),
        ("GET", job),
        ("POST", f"{job}/deliveries"),
        ("DELETE", job),
        ("GET", "/v1/jobs/none"),
    ]:
        await site.ask(method, path, status=401)


def test_tokens_expire_each_in_its_time(tmp_path: Path) -> None:
    clock = HandClock(0.0)
    given = replace(sandboxes.settings(tmp_path), token_lifetime=timedelta(minutes=10))
    tokens = Tokens(given, clock.monotonic)

    def issue() -> str:
        return f"Bearer {tokens.issue(given.client_id, given.client_secret)[0]}"

    first = issue()
    clock.at = 300
    second = issue()  # while the first still holds
    held = []
    for clock.at in (300, 599, 601, 899, 901):
        held.append((tokens.is_valid(first), tokens.is_valid(second)))

    both, one, none = (True, True), (False, True), (False, False)
    assert held == [both, both, one, one, none]


async def test_what_does_not_exist_is_not_found(site: Site) -> None:
    write(site.source, {"/a": b"a"})
    job, other = await site.job("copy"), await site.job("grow")
    delivery = await site.start("/a")
    done = await site.finished(delivery)
    foreign = delivery.rpartition("/")[2]

    for path in [
        "/v1/jobs/none",
        "/v1/jobs/none/files",
        f"{job}/deliveries/none",
        f"{job}/transfers/none",
        f"{other}/deliveries/{foreign}",
        f"{other}/transfers/{done['transfers'][0]['transferId']}",
    ]:
        answer = await site.ask("GET", path, status=404)
        assert set(answer) == {"message"}
    await site.ask("GET", f"{job}/deliveries", status=404)  # Jet documents no such list
    await site.ask("DELETE", delivery, status=404)
    await site.ask("POST", "/v1/jobs/none/deliveries", body_of("/a"), status=404)


ENDS = {
    "source": {"storageProfileId": "Source"},
    "destination": {"storageProfileId": "Target"},
}


def new_job(**data: Any) -> Document:
    return {"name": "n", "actions": [{"type": "TRANSFER", "data": ENDS | data}]}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("{job}/deliveries", None),
        ("{job}/deliveries", []),
        ("{job}/deliveries", {}),
        ("{job}/deliveries", {"objects": {}}),
        ("{job}/deliveries", {"objects": []}),
        ("{job}/deliveries", {"objects": ["/a"]}),
        ("{job}/deliveries", {"objects": [{}]}),
        ("{job}/deliveries", {"objects": [{"relativePath": 1}]}),
        *[
            ("{job}/deliveries", {"objects": [{"relativePath": path}]})
            for path in ("a", "", "/../a", "/a/../../b", "/a//b", "//", "/./a", "/a/")
        ],
        ("{job}/deliveries", {"objects": [{"relativePath": "/a\0b"}]}),
        ("/v1/jobs", {}),
        ("/v1/jobs", {"name": "n"}),
        ("/v1/jobs", {"name": "n", "actions": []}),
        ("/v1/jobs", {"name": "n", "actions": [5]}),
        ("/v1/jobs", {"name": "", "actions": [{"data": ENDS}]}),
        ("/v1/jobs", new_job(source={"storageProfileId": "nowhere"})),
        ("/v1/jobs", new_job(source=None)),
        ("/v1/jobs", new_job(transferOptions=["areGrowingObjects"])),
        ("/v1/jobs", new_job(transferOptions={"growingObjects": 3})),
        *[
            (
                "/v1/jobs",
                new_job(
                    transferOptions={
                        "areGrowingObjects": True,
                        "growingObjects": {"growingIdleTimeoutInSeconds": seconds},
                    }
                ),
            )
            for seconds in ("soon", None, -1)
        ],
        ("/v1/jobs/search", {"query": "text"}),
        ("/v1/jobs/search", {"offset": "first"}),
        ("/v1/jobs/search", {"offset": -1}),
        ("/v1/jobs/search", {"limit": 101}),
        ("/oauth/token", []),
    ],
)
async def test_a_body_that_is_wrong_is_400_with_a_message_and_changes_nothing(
    site: Site, path: str, body: Any
) -> None:
    jobs = await site.ask("GET", "/v1/jobs")

    answer = await site.ask("POST", path.format(job=await site.job()), body, status=400)

    assert set(answer) == {"message"}
    assert await site.ask("GET", "/v1/jobs") == jobs


@pytest.mark.parametrize("body", [{}, {"paused": "yes"}, {"paused": None}, []])
async def test_a_patch_takes_paused_and_nothing_else(site: Site, body: Any) -> None:
    await site.ask("PATCH", await site.job(), body, status=400)


@pytest.mark.parametrize("query", ["", "?state=COMPLETED", "?state="])
async def test_only_transfers_in_progress_can_be_listed(site: Site, query: str) -> None:
    await site.ask("GET", f"{await site.job()}/transfers{query}", status=400)


@pytest.mark.parametrize(
    "change",
    [
        {"bandwidth": 0},
        {"bandwidth": "fast"},
        {"batch_size": 0},
        {"step_seconds": -1},
        {"virtual_seconds": True},
        {"deliveries_visible": "some"},
        {"bandwith": 1},
    ],
)
async def test_a_wrong_setting_is_refused_and_changes_nothing(
    site: Site, change: Document
) -> None:
    before = await site.ask("GET", "/_sandbox/settings")

    refused = await site.ask("POST", "/_sandbox/settings", change, status=400)

    assert next(iter(change)) in refused["message"]
    assert await site.ask("GET", "/_sandbox/settings") == before
