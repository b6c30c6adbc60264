"""The one port: probes, metrics and status; read-only, escaped, nothing to run."""

import base64
import hashlib
import io
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from jetworker.http.page import STYLE
from jetworker.http.server import HttpServer
from jetworker.runtime.metrics import Metrics

EVIL = "<script>alert('1')</script>"
ROW = {
    "commandId": "order-1",
    "route": "archive",
    "state": "held",
    "reason": "held: look at job 7",
    "waitsFor": None,
    "progress": None,
    "age": "7 s",
}


@dataclass
class FakeReport:
    """A worker as it would tell of itself."""

    stuck: dict[str, str | None] = field(default_factory=lambda: {"loop": None})
    missing: dict[str, str | None] = field(
        default_factory=lambda: {"group": None, "token": None}
    )
    rows: list[dict[str, Any]] = field(default_factory=lambda: [ROW])
    filters: dict[str, str] = field(default_factory=dict)
    refreshed: int = 0

    def live(self) -> Mapping[str, str | None]:
        return self.stuck

    def ready(self) -> Mapping[str, str | None]:
        return self.missing

    def refresh(self) -> None:
        self.refreshed += 1

    def status(self) -> dict[str, Any]:
        return {
            "version": "1.2.3",
            "group": EVIL,
            "partitions": [0, 3],
            "checks": {"token": EVIL, "group": None},
            "totals": {"open": 1, "held": 1, "failed": 2},
            "sinceStart": {
                "commands": {"accepted": 3},
                "finished": {"archive": {"completed": 0, "failed": 2, "cancelled": 0}},
                "events": 3,
                "tokenExpiresAt": None,
            },
            "routes": [{"route": "archive", "job": EVIL, "open": 1, "limit": None}],
        }

    def deliveries(
        self, filters: Mapping[str, str], offset: int, limit: int
    ) -> tuple[int, list[dict[str, Any]]]:
        self.filters = dict(filters)
        return len(self.rows), self.rows[offset : offset + limit]

    def delivery(self, command_id: str) -> dict[str, Any] | None:
        return {"commandId": command_id} if command_id == "a:b.c_1" else None


@pytest.fixture
def report() -> FakeReport:
    return FakeReport()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry(), "1.2.3")


@pytest.fixture
async def http(
    report: FakeReport, metrics: Metrics
) -> AsyncIterator[httpx.AsyncClient]:
    probes = HttpServer(report, metrics.registry)
    port = await probes.start("127.0.0.1", 0)
    address = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(base_url=address, trust_env=False) as client:
        yield client
        await probes.stop()
        with pytest.raises(httpx.TransportError):
            await client.get("/livez")


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
async def test_a_probe_is_ok_when_every_check_is(
    path: str, http: httpx.AsyncClient
) -> None:
    answer = await http.get(path)

    assert (answer.status_code, answer.text) == (200, "ok\n")


async def test_a_probe_names_what_fails_and_each_check_when_asked(
    http: httpx.AsyncClient, report: FakeReport
) -> None:
    report.missing["token"] = "no token was obtained yet"

    short = await http.get("/readyz")
    verbose = await http.get("/readyz?verbose")

    assert (short.status_code, short.text) == (503, "not ok: token\n")
    assert (verbose.status_code, verbose.text) == (
        503,
        "[+]group ok\n[-]token: no token was obtained yet\n",
    )
    assert (await http.get("/livez")).status_code == 200


async def test_a_stuck_loop_is_not_alive(
    http: httpx.AsyncClient, report: FakeReport
) -> None:
    report.stuck["follower"] = "no progress for 61 s"

    assert (await http.get("/livez")).status_code == 503
    assert (await http.get("/readyz")).status_code == 200


async def test_metrics_are_prometheus_s_text(
    http: httpx.AsyncClient, report: FakeReport
) -> None:
    answer = await http.get("/metrics")

    families = {family.name for family in text_string_to_metric_families(answer.text)}
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert "jetworker_commands" in families
    assert report.refreshed == 1


async def test_metrics_are_openmetrics_where_that_is_asked_for(
    http: httpx.AsyncClient,
) -> None:
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}

    answer = await http.get("/metrics", headers=accept)

    families = list(openmetrics.text_fd_to_metric_families(io.StringIO(answer.text)))  # type: ignore[no-untyped-call]  # theirs has no types
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert families


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["/", "/metrics", "/livez", "/api/deliveries/a"])
async def test_nothing_can_be_changed(
    method: str, path: str, http: httpx.AsyncClient
) -> None:
    assert (await http.request(method, path)).status_code == 405


async def test_the_status_is_json(http: httpx.AsyncClient, report: FakeReport) -> None:
    told = (await http.get("/api/status")).json()

    assert told == report.status()


async def test_deliveries_are_filtered_by_what_is_given(
    http: httpx.AsyncClient, report: FakeReport
) -> None:
    told = await http.get("/api/deliveries?route=a&state=&text=x&other=1")

    assert told.json() == {
        "total": 1,
        "offset": 0,
        "limit": 200,
        "deliveries": [ROW],
    }
    assert report.filters == {"route": "a", "text": "x"}


async def test_one_delivery_is_told_or_said_to_be_unknown_here(
    http: httpx.AsyncClient,
) -> None:
    known = await http.get("/api/deliveries/a:b.c_1")
    unknown = await http.get("/api/deliveries/other")

    assert (known.status_code, known.json()) == (200, {"commandId": "a:b.c_1"})
    assert unknown.status_code == 404
    assert "another one may" in unknown.json()["error"]


async def test_the_page_escapes_everything(
    http: httpx.AsyncClient, report: FakeReport
) -> None:
    columns = ["commandId", "route", "state", "reason", "waitsFor", "jetState"]
    evil = dict.fromkeys(columns, EVIL)
    quoted = evil | {"commandId": "' onload='x", "route": "\"' x='", "state": "held"}
    report.rows = [evil, quoted]

    page = (await http.get("/", params={"text": EVIL, "route": "' x='"})).text

    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert " onload='" not in page
    assert " x='" not in page


async def test_the_page_may_run_nothing_and_its_style_is_the_one_known(
    http: httpx.AsyncClient,
) -> None:
    answer = await http.get("/")

    policy = answer.headers["content-security-policy"]
    (style,) = re.findall("<style>(.*?)</style>", answer.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert style == STYLE
    assert policy.startswith("default-src 'none'; ")
    assert f"style-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy
    assert "style=" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_the_page_shows_what_needs_an_operator(
    http: httpx.AsyncClient,
) -> None:
    page = (await http.get("/?state=held")).text

    assert "<tr role=row class='bad'><td role=cell class=commandId" in page
    assert "<a href='/?route=archive'>archive</a>" in page
    assert "(state held; <a href='/'>all</a>)" in page
    assert "<td role=cell class=failed data-label='failed'>2</td>" in page


async def test_of_what_waits_the_page_says_what_for_and_not_what_is_over(
    http: httpx.AsyncClient, report: FakeReport
) -> None:
    waits = {"state": "waiting", "reason": "route_paused: ?", "waitsFor": "its turn"}
    report.rows = [ROW, ROW | waits]

    page = (await http.get("/")).text

    assert "data-label='why'>held: look at job 7</td>" in page
    assert "data-label='why'>its turn</td>" in page
    assert "route_paused" not in page


async def test_a_link_leads_to_exactly_what_it_names(
    http: httpx.AsyncClient, report: FakeReport
) -> None:
    report.rows = [ROW | {"commandId": "a/b?c", "route": "a&state=held #1"}]

    page = (await http.get("/")).text

    assert "<a href='/api/deliveries/a%2Fb%3Fc'>a/b?c</a>" in page
    assert "<a href='/?route=a%26state%3Dheld%20%231'>a&amp;state=held #1</a>" in page


async def test_an_empty_worker_has_a_page_too(
    http: httpx.AsyncClient, report: FakeReport
) -> None:
    report.rows = []

    assert "<p>none</p>" in (await http.get("/")).text


@pytest.mark.parametrize("path", ["/", "/metrics", "/livez", "/api/status", "/nope"])
async def test_every_answer_is_guarded_and_tells_no_versions(
    path: str, http: httpx.AsyncClient
) -> None:
    answer = await http.get(path)

    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Server"] == "jetworker"


async def test_deliveries_are_paged_with_their_total(
    http: httpx.AsyncClient, report: FakeReport
) -> None:
    report.rows = [ROW | {"commandId": f"c-{number}"} for number in range(250)]

    told = (await http.get("/api/deliveries?limit=2&offset=248")).json()
    most = (await http.get("/api/deliveries?limit=99999")).json()
    odd = (await http.get("/api/deliveries?limit=x&offset=-1")).json()
    long = (await http.get(f"/api/deliveries?offset={'9' * 5000}")).json()
    assert long == (await http.get("/api/deliveries")).json()

    assert (told["total"], [each["commandId"] for each in told["deliveries"]]) == (
        250,
        ["c-248", "c-249"],
    )
    assert most["limit"] == 1000
    assert (odd["limit"], odd["offset"]) == (200, 0)


async def test_the_page_says_which_of_how_many_it_shows(
    http: httpx.AsyncClient, report: FakeReport
) -> None:
    report.rows = [ROW | {"commandId": f"c-{number}"} for number in range(250)]

    middle = (await http.get("/?state=held&offset=100&refresh=off")).text
    behind = (await http.get("/?offset=900")).text

    assert "101 to 200 of 250" in middle
    assert "<a rel=prev href='/?state=held&amp;refresh=off'>" in middle
    assert "<a rel=next href='/?state=held&amp;offset=200&amp;refresh=off'>" in middle
    assert "behind the end" in behind


async def test_the_page_is_this_worker_s_and_its_refresh_can_be_stopped(
    http: httpx.AsyncClient,
) -> None:
    moving = await http.get("/?route=a")
    still = await http.get("/?route=a&refresh=off")

    assert "<h1>This worker" in moving.text
    assert moving.headers["refresh"] == "5"
    assert "<a href='/?route=a&amp;refresh=off'>Stop refreshing</a>" in moving.text
    assert "refresh" not in still.headers
    assert "<a href='/?route=a'>Refresh every 5 s</a>" in still.text
    assert moving.text.index("<h2>Routes") < moving.text.index("<h2>Open deliveries")
    for landmark in ("<header>", "<main>", "<footer>"):
        assert landmark in moving.text
