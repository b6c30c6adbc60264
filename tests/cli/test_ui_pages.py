"""The page over the installation: what it shows, whom it answers, what it lets be done."""

import json
import re
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from jetworker.cli.publish import MayBePublished
from jetworker.cli.resend import NotResendable
from jetworker.cli.ui.door import Options, is_loopback
from jetworker.cli.ui.follow import Seen
from jetworker.cli.ui.orders import Action
from jetworker.cli.ui.server import UiServer
from jetworker.config.model import Config, JetConfig, KafkaConfig
from jetworker.core.command import CommandId, RouteName
from jetworker.core.delivery import FailedObjects, Reason, ReasonCode, State
from jetworker.core.errors import StoreError
from jetworker.core.finished import finish
from jetworker.core.installation import Letter, Position, Row, Told
from jetworker.core.lifecycle import accept
from jetworker.core.observation import Progress, Tally
from jetworker.kafka.group_members import GroupView, Member, Share
from jetworker.wire import snapshots
from jetworker.wire.events import Envelope
from tests.core.test_installation import a_row
from tests.support.builders import NOW, a_delivery, a_send, an_origin
from tests.support.fakes import HandClock
from tests.wire.test_rows import AKafkaRecord

EVIL = "<script>alert('1')</script>\" onload=x"
HELD = Reason(ReasonCode.HELD, "no witness")
CONFIG = Config(
    routes_file=Path("routes.yaml"),
    kafka=KafkaConfig(bootstrap_servers="localhost:9092"),
    jet=JetConfig(client_id="tests", client_secret=SecretStr("hidden")),
)


@dataclass
class FakeKafka:
    """Holds single records, and keeps the orders that are published."""

    held: dict[tuple[str, int], Any] = field(default_factory=dict)
    published: list[tuple[str, tuple[str, ...], str]] = field(default_factory=list)
    sent_again: list[tuple[tuple[str, ...], bool]] = field(default_factory=list)
    replayed: list[Position] = field(default_factory=list)
    is_down: bool = False
    on_read: Callable[[], object] = int

    async def records(self, topic: str, places: Sequence[Position]) -> list[Any]:
        if self.is_down:
            raise StoreError("reading: no broker")
        self.on_read()
        found = (self.held.get((topic, place.offset)) for place in places)
        return [record for record in found if record is not None]

    async def order(
        self, action: Action, rows: Sequence[Row], delivery_id: str = ""
    ) -> None:
        ids = tuple(row.command_id for row in rows)
        self.published.append((action, ids, delivery_id))

    async def send_again(
        self, command_ids: Sequence[str], *, failed_only: bool
    ) -> tuple[str, ...]:
        if failed_only and "unnamed" in command_ids:
            raise NotResendable("unnamed: Jet says that 2 failed and names 1 of them")
        self.sent_again.append((tuple(command_ids), failed_only))
        return tuple(f"{each}-2" for each in command_ids)

    async def replay(self, places: Iterable[Position]) -> frozenset[Position]:
        self.replayed.extend(places)
        return frozenset(self.replayed)


@dataclass
class Ui:
    """A page that is served, and what lies behind it."""

    http: httpx.AsyncClient
    seen: Seen
    kafka: FakeKafka

    async def text(self, path: str, status: int = 200) -> str:
        answer = await self.http.get(path)
        assert answer.status_code == status, answer.text
        return answer.text

    async def token(self, path: str) -> str:
        found = re.search('name="token" value="([0-9a-f]+)"', await self.text(path))
        assert found is not None
        return found[1]

    async def order(self, **form: Any) -> httpx.Response:
        return await self.http.post("/actions", data=form)


@asynccontextmanager
async def served(**options: Any) -> AsyncIterator[Ui]:
    seen, kafka = Seen(), FakeKafka()
    server = UiServer(
        CONFIG,
        seen,
        kafka.records,
        kafka,
        Options(port=0, **options),
        HandClock(NOW.timestamp() + 90),
    )
    address = f"http://127.0.0.1:{await server.start()}"
    try:
        async with httpx.AsyncClient(base_url=address, trust_env=False) as http:
            yield Ui(http, seen, kafka)
    finally:
        await server.stop()


@pytest.fixture
async def ui() -> AsyncIterator[Ui]:
    async with served() as made:
        yield made


@pytest.fixture
async def acting() -> AsyncIterator[Ui]:
    async with served(allows_actions=True) as made:
        yield made


async def test_an_empty_installation_has_pages_too(ui: Ui) -> None:
    overview = await ui.text("/")

    assert "Nothing is held" in overview
    assert "in the way when" not in overview
    assert "No command fits." in await ui.text("/deliveries")
    assert "There are none." in await ui.text("/dead-letters")


async def test_the_overview_says_what_needs_an_operator_and_why_routes_wait(
    ui: Ui,
) -> None:
    paused = Reason(ReasonCode.JOB_PAUSED, "the job is paused")
    ui.seen.installation.put(a_row("h-1", State.HELD, reason=HELD))
    ui.seen.installation.put(a_row("w-1", State.WAITING, reason=paused))
    ui.seen.installation.put(a_row("f-1", State.FAILED))
    ui.seen.installation.hear(
        Told(CommandId("f-1"), Position(0, 1), FailedObjects(5, ("/a.mov",)))
    )
    ui.seen.group = GroupView(
        "Stable", (Member("jetworker-7", "10.0.0.9", (0, 2)),), (Share(0, 3, 7),)
    )

    page = await ui.text("/")

    assert '<a href="/deliveries?state=held">1</a>' in page
    assert "no witness" in page
    assert re.search(r"1 command: the job is paused <small>\(told <time .*ago", page)
    assert "not when it is over" in page
    assert "<em>not in the routes file</em>" in page
    assert 'role="cell">0, 2</span>' in page
    assert "4 offsets of the commands topic not taken yet" in page
    assert "5 failed: " in page
    assert "/a.mov" in page
    assert "1 route had something in the way when it was last told" in page


async def test_nobody_in_the_group_is_told_as_trouble(ui: Ui) -> None:
    ui.seen.group = GroupView("Empty", (), ())
    ui.seen.loading = {"jet.state"}
    ui.seen.trouble = {"routes file": "cannot be read"}

    page = await ui.text("/")

    assert "No worker is in the group" in page
    assert "Still reading jet.state" in page
    assert "Not up to date: routes file: cannot be read" in page


async def test_what_another_version_wrote_is_named_beside_a_page_that_is_up_to_date(
    ui: Ui,
) -> None:
    ui.seen.unreadable = dict.fromkeys(["c-1", "c:2", EVIL, "c-4", "c-5", "c-6", "c-7"])

    for path in ("/", "/deliveries", "/dead-letters"):
        page = await ui.text(path)

        assert 'Not shown: <a href="/deliveries/c-1">c-1</a>, ' in page
        assert "and 2 more, whose state cannot be read by this version" in page
        assert "Not up to date" not in page
        assert "<script>alert" not in page
    assert "cannot be read by this version" in await ui.text("/deliveries/c:2", 404)


async def test_it_is_ready_when_everything_was_read_once(ui: Ui) -> None:
    ui.seen.loading = {"jet.state"}
    assert (await ui.text("/readyz", 503)) == "still reading: jet.state\n"

    ui.seen.loading = set()
    assert await ui.text("/readyz") == "ok\n"
    assert await ui.text("/livez") == "ok\n"


async def test_a_list_is_filtered_by_its_address_and_paged(ui: Ui) -> None:
    for number in range(120):
        ui.seen.installation.put(
            a_row(f"c-{number}", route=RouteName("a b&c" if number % 2 else "other"))
        )

    page = await ui.text("/deliveries?state=waiting&route=a+b%26c&text=c-&offset=50")

    assert "51 to 60 of 60" in page
    assert ">c-101</a>" in page
    assert ">c-100</a>" not in page
    assert 'href="/deliveries?state=waiting&amp;route=a+b%26c&amp;text=c-"' in page
    behind = await ui.text("/deliveries?offset=500")
    assert "This page lies behind the end: there are 120." in behind


@pytest.mark.parametrize(
    "query",
    ["state=nonsense", "offset=-1", "offset=²", "x=1", f"offset={'9' * 5000}"],
    ids=lambda query: query[:12],
)
async def test_what_makes_no_sense_in_an_address_is_left_out(
    ui: Ui, query: str
) -> None:
    ui.seen.installation.put(a_row("c-1"))

    assert "1 to 1 of 1" in await ui.text(f"/deliveries?{query}")


async def test_a_delivery_s_page_tells_its_events_and_what_is_next(ui: Ui) -> None:
    delivery = replace(
        a_delivery(State.HELD, reason=HELD), progress=Progress(Tally(1, 50))
    )
    ui.seen.installation.put(a_row("c-1", State.HELD, reason=HELD, at=Position(0, 7)))
    ui.kafka.held["jet.state", 7] = AKafkaRecord(value=snapshots.encode(delivery))
    (event,) = accept(a_send(), an_origin(), NOW).events
    record = Envelope("jet.events", "/jetworker/x").event(event, NOW)
    ui.kafka.held["jet.events", 1] = AKafkaRecord(
        value=record.value, headers=record.headers
    )
    foreign = (("ce_subject", b"other"),)
    ui.kafka.held["jet.events", 2] = AKafkaRecord(value=b"{}", headers=foreign)
    for offset in (1, 2, 3):
        ui.seen.installation.hear(Told(CommandId("c-1"), Position(0, offset)))

    page = await ui.text("/deliveries/c-1")

    assert page.count("<li><details>") == 1
    assert "<b>delivery.accepted</b>" in page
    assert "<b>Next:</b> it is looked at from time to time" in page
    assert "jetworker resolve c-1 abandon" in page
    assert "<dt>partition</dt><dd>0</dd>" in page
    assert "/actions" not in page


async def test_the_paths_that_failed_are_read_with_their_number(ui: Ui) -> None:
    failed = FailedObjects(2, ("/a.mov", "/b.mov"))
    ended = finish(replace(a_delivery(State.FAILED), failed_objects=failed))
    ui.seen.installation.put(a_row("c-1", State.FAILED, at=Position(0, 7)))
    ui.kafka.held["jet.state", 7] = AKafkaRecord(value=snapshots.encode(ended))

    page = await ui.text("/deliveries/c-1")

    assert "<dt>failed</dt><dd>2 objects<br>/a.mov<br>/b.mov</dd>" in page
    assert "<dt></dt>" not in page


async def test_what_an_event_tells_is_apart_from_each_other(ui: Ui) -> None:
    ui.seen.installation.put(a_row("c-1", at=Position(0, 7)))
    ui.kafka.held["jet.state", 7] = AKafkaRecord(value=snapshots.encode(a_delivery()))
    (event,) = accept(a_send(), an_origin(), NOW).events
    record = Envelope("jet.events", "/jetworker/x").event(event, NOW)
    tally = {"count": 1, "bytes": 50}
    data = json.loads(record.value or b"{}") | {
        "jetState": "COMPLETED",
        "progress": dict.fromkeys(("transferred", "skipped", "failed"), tally),
        "reason": {"code": "objects_failed", "message": "one failed"},
    }
    ui.kafka.held["jet.events", 1] = AKafkaRecord(
        value=json.dumps(data).encode(), headers=record.headers
    )
    ui.seen.installation.hear(Told(CommandId("c-1"), Position(0, 1)))

    page = await ui.text("/deliveries/c-1")

    summary = page[page.index("<summary>") : page.index("</summary>")]
    told = " ".join(re.sub("<[^>]*>", "", summary).split())
    assert told.endswith(
        "delivery.accepted #1 Jet: COMPLETED 1 object, 50 B objects_failed one failed"
    )


async def test_a_number_that_is_no_place_finds_no_letter(ui: Ui) -> None:
    await ui.text(f"/dead-letters/0/{'9' * 5000}", 404)


async def test_an_unknown_command_is_said_to_be_one(ui: Ui) -> None:
    assert "never accepted" in await ui.text("/deliveries/nobody", 404)


async def test_a_kafka_that_does_not_answer_is_told(ui: Ui) -> None:
    ui.seen.installation.put(a_row("c-1"))
    ui.kafka.is_down = True

    assert "no broker" in await ui.text("/deliveries/c-1", 503)


async def test_dead_letters_are_listed_and_one_is_shown_as_it_is(ui: Ui) -> None:
    place = Position(3, 9)
    letter = Letter(place, NOW, "conflict", EVIL, "k", "jet.commands", Position(1, 2))
    ui.seen.installation.park(letter)
    ui.kafka.held["jet.dead-letters", 9] = AKafkaRecord(value=b"<b>\xff" * 9000)

    listed, shown = (
        await ui.text("/dead-letters?reason=conflict&text=k"),
        await ui.text("/dead-letters/3/9"),
    )

    assert '<a href="/dead-letters/3/9">3:9</a>' in listed
    assert "jetworker dead-letters replay 3:9" in shown
    assert "jet.commands 1:2" in shown
    assert "&lt;b&gt;\ufffd" in shown
    assert "The first 16 KiB:" in shown
    assert "no such dead letter" in await ui.text("/dead-letters/3/10", 404)


async def test_everything_is_escaped(ui: Ui) -> None:
    reason = Reason(ReasonCode.LIMIT, EVIL)
    ui.seen.installation.put(
        a_row(EVIL, State.WAITING, route=RouteName(EVIL), reason=reason)
    )
    ui.seen.installation.hear(
        Told(CommandId(EVIL), Position(0, 1), FailedObjects(1, (EVIL,)))
    )
    ui.seen.trouble = {EVIL: EVIL}

    for path in ("/", f"/deliveries?route={EVIL}&text={EVIL}&reason={EVIL}"):
        page = await ui.text(path)
        assert "<script>alert" not in page
        assert '" onload=x' not in page


async def test_nothing_may_run_or_load_but_what_is_its_own(ui: Ui) -> None:
    for path in ("/", "/deliveries", "/static/style.css", "/nope", "/livez"):
        headers = (await ui.http.get(path)).headers

        assert headers["content-security-policy"].startswith("default-src 'none'; ")
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["server"] == "jetworker"


@pytest.mark.parametrize("name", ["style.css", "live.js", "icon.svg"])
async def test_what_the_pages_name_is_there(ui: Ui, name: str) -> None:
    assert f"/static/{name}" in await ui.text("/")
    assert await ui.text(f"/static/{name}")


async def test_no_other_file_is_served(ui: Ui) -> None:
    await ui.text("/static/..%2f__init__.py", 404)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8090", 200),
        ("127.0.0.1", 200),
        ("[::1]:8090", 200),
        ("evil.example", 421),
        ("localhost.evil.example:8090", 421),
        ("jet.example:443", 421),
    ],
)
async def test_only_its_own_names_are_answered(ui: Ui, host: str, status: int) -> None:
    answer = await ui.http.get("/", headers={"Host": host})

    assert answer.status_code == status


async def test_a_name_that_is_allowed_is_its_own() -> None:
    async with served(names=("jet.example",)) as ui:
        answer = await ui.http.get("/", headers={"Host": "Jet.Example:443"})
        alive = await ui.http.get("/livez", headers={"Host": "10.0.0.1:8090"})

    assert (answer.status_code, alive.status_code) == (200, 200)


@pytest.mark.parametrize(
    ("host", "is_own"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False)],
)
def test_what_only_this_machine_reaches_is_known(host: str, is_own: bool) -> None:
    assert is_loopback(host) is is_own


def _version(page: str) -> str:
    found = re.search('id="live-part" data-version="([0-9]+)"', page)
    assert found is not None
    return found[1]


async def test_a_change_is_told_to_pages_that_are_open(ui: Ui) -> None:
    async with ui.http.stream("GET", "/live") as stream:
        assert stream.headers["content-type"] == "text/event-stream"
        lines = stream.aiter_lines()
        assert await anext(lines) == ": hello"
        ui.seen.installation.put(a_row("c-1"))
        told = [await anext(lines) for _ in range(2)]

    assert told == ["", "data: 1"]


async def test_what_changed_between_a_page_and_its_stream_is_told_at_once(
    ui: Ui,
) -> None:
    page = await ui.text("/deliveries")
    ui.seen.installation.put(a_row("c-1"))

    async with ui.http.stream("GET", f"/live?since={_version(page)}") as stream:
        lines = stream.aiter_lines()
        told = [await anext(lines) for _ in range(3)]

    assert told == [": hello", "", "data: 1"]
    assert _version(await ui.text("/deliveries")) == "1"


async def test_what_changes_while_a_delivery_is_read_belongs_to_what_comes_next(
    ui: Ui,
) -> None:
    ui.seen.installation.put(a_row("c-1"))

    ui.kafka.on_read = lambda: ui.seen.installation.put(a_row("c-1", State.FAILED))
    page = await ui.text("/deliveries/c-1")

    assert _version(page) == "1"


async def test_read_only_is_the_default(ui: Ui) -> None:
    ui.seen.installation.put(a_row("c-1", State.HELD))

    page = await ui.text("/deliveries?state=held")

    assert 'method="post"' not in page
    assert (await ui.order(action="abandon", id="c-1")).status_code == 404
    assert ui.kafka.published == []


async def test_an_order_is_confirmed_with_count_and_consequence(acting: Ui) -> None:
    for name in ("a", "b", "c"):
        acting.seen.installation.put(a_row(name, State.HELD, reason=HELD))
    acting.seen.installation.put(a_row("gone", State.FAILED))
    token = await acting.token("/deliveries?state=held")
    form = {"token": token, "action": "abandon", "id": ["a", "b", "gone"]}

    asked = await acting.order(**form)

    assert acting.kafka.published == []
    assert "Abandon 2 commands?" in asked.text
    assert "Left out: 1 more" in asked.text
    assert "They end as failed, reason abandoned." in asked.text

    done = await acting.order(**form, confirmed="1")

    assert done.status_code == 303
    assert acting.kafka.published == [("abandon", ("a", "b"), "")]
    shown = await acting.text(done.headers["location"])
    assert "2 orders published" in shown
    assert "ordered by unknown" in shown
    await acting.text("/actions/nobody", 404)


async def test_all_that_are_found_can_be_chosen(acting: Ui) -> None:
    for number in range(60):
        acting.seen.installation.put(
            a_row(f"c-{number}", route=RouteName("a" if number % 2 else "b"))
        )
    token = await acting.token("/deliveries?state=waiting&route=a")

    asked = await acting.order(token=token, action="cancel", all="1", route="a")

    assert "Cancel 30 commands?" in asked.text
    assert "and 10 more" in asked.text


async def test_an_adopt_names_the_delivery(acting: Ui) -> None:
    acting.seen.installation.put(a_row("c-1", State.HELD, reason=HELD))
    token = await acting.token("/deliveries/c-1")
    form = {"token": token, "action": "adopt", "id": "c-1", "confirmed": "1"}

    assert (await acting.order(**form)).status_code == 400
    assert (await acting.order(**form, delivery_id="b0de-1")).status_code == 303
    assert acting.kafka.published == [("adopt", ("c-1",), "b0de-1")]


@pytest.mark.parametrize(
    ("change", "headers", "status"),
    [
        ({"token": "0" * 64}, {}, 403),
        ({"token": ""}, {}, 403),
        ({}, {"Origin": "https://evil.example"}, 403),
        ({}, {"Sec-Fetch-Site": "cross-site"}, 403),
        ({}, {"Cookie": "jetworker-ui=of-another-browser"}, 403),
        ({"action": "launch"}, {}, 400),
        ({"id": "unknown"}, {}, 409),
        ({}, {"Origin": "http://localhost:8090"}, 303),
    ],
)
async def test_an_order_is_taken_from_its_own_page_alone(
    acting: Ui, change: dict[str, str], headers: dict[str, str], status: int
) -> None:
    acting.seen.installation.put(a_row("c-1", State.HELD))
    token = await acting.token("/deliveries/c-1")
    form = {"token": token, "action": "abandon", "id": "c-1", "confirmed": "1"}
    if "Cookie" in headers:
        acting.http.cookies.clear()

    answer = await acting.http.post("/actions", data=form | change, headers=headers)

    assert answer.status_code == status
    assert bool(acting.kafka.published) is (status == 303)


async def test_who_ordered_is_what_the_proxy_says() -> None:
    async with served(allows_actions=True, user_header="X-User") as ui:
        ui.seen.installation.put(a_row("c-1", State.HELD))
        form = {"action": "abandon", "id": "c-1", "confirmed": "1"}
        nobody = await ui.order(**form, token=await ui.token("/deliveries/c-1"))
        ui.http.headers["X-User"] = "ann"
        token = await ui.token("/deliveries/c-1")
        done = await ui.order(**form, token=token)
        shown = await ui.text(done.headers["location"])
        ui.http.headers["X-User"] = "bob"
        other = await ui.order(**form, token=token)

    assert nobody.status_code == 403
    assert "ordered by ann" in shown
    assert other.status_code == 403


async def test_failed_commands_are_sent_again_once_for_each_confirmation(
    acting: Ui,
) -> None:
    for name in ("a", "b"):
        acting.seen.installation.put(a_row(name, State.FAILED))
    acting.seen.installation.put(a_row("open", State.HELD))
    token = await acting.token("/deliveries?state=failed")
    form = {"token": token, "action": "send-again", "id": ["a", "b", "open"]}

    asked = await acting.order(**form)
    once = re.search('name="once" value="([^"]+)"', asked.text)
    assert once is not None
    confirmed = form | {"confirmed": "1", "once": once[1]}
    done, again = await acting.order(**confirmed), await acting.order(**confirmed)

    assert "Send everything again, of 2 commands?" in asked.text
    assert "What was delivered is delivered once more." in asked.text
    assert (done.status_code, again.status_code) == (303, 409)
    assert acting.kafka.sent_again == [(("a", "b"), False)]
    shown = await acting.text(done.headers["location"])
    assert "2 new commands published" in shown
    assert '<a href="/deliveries/b-2">' in shown


async def test_nobody_is_told_to_repeat_what_may_be_published(
    acting: Ui, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Confirmed once more, each would be sent again under the next number."""

    async def send_again(*_: Any, **__: Any) -> tuple[str, ...]:
        raise MayBePublished("a-2 may be published: look before you repeat it")

    monkeypatch.setattr(acting.kafka, "send_again", send_again)
    acting.seen.installation.put(a_row("a", State.FAILED))
    token = await acting.token("/deliveries?state=failed")
    form = {"token": token, "action": "send-again", "id": ["a"]}
    once = re.search('name="once" value="([^"]+)"', (await acting.order(**form)).text)
    assert once is not None

    done = await acting.order(**form | {"confirmed": "1", "once": once[1]})

    assert done.status_code == 503
    assert "look before you repeat it" in done.text
    assert "Try again" not in done.text


async def test_of_a_failed_command_what_failed_can_be_sent_again_alone(
    acting: Ui,
) -> None:
    for name in ("a", "unnamed"):
        acting.seen.installation.put(a_row(name, State.FAILED))
    token = await acting.token("/deliveries/a")
    answers = []
    for name in ("a", "unnamed"):
        form = {"token": token, "action": "send-failed", "id": name}
        once = re.search(
            'name="once" value="([^"]+)"', (await acting.order(**form)).text
        )
        assert once is not None
        answers.append(await acting.order(**form, confirmed="1", once=once[1]))

    assert [each.status_code for each in answers] == [303, 409]
    assert "Nothing was published. unnamed: Jet says that 2 failed" in answers[1].text
    assert acting.kafka.sent_again == [(("a",), True)]


def a_letter(
    number: int, reason: str = "conflict", *, is_replay: bool = False
) -> Letter:
    place = Position(0, number)
    return Letter(place, NOW, reason, "m", "k", "jet.commands", None, is_replay)


async def test_dead_letters_are_replayed_after_count_and_consequence(
    acting: Ui,
) -> None:
    for number in range(3):
        acting.seen.installation.park(a_letter(number))
    acting.seen.installation.park(a_letter(3, is_replay=True))
    acting.seen.installation.park(a_letter(4, "unknown_route"))
    acting.seen.installation.mark_replayed(Position(0, 2))
    token = await acting.token("/dead-letters?reason=conflict")
    form = {"token": token, "all": "1", "reason": "conflict"}

    asked = await acting.http.post("/dead-letters/replay", data=form)

    assert acting.kafka.replayed == []
    assert "Replay 2 dead letters?" in asked.text
    assert '2 <span class="code">conflict</span>' in asked.text
    assert "Left out: 2 more" in asked.text
    assert "published again as they were" in asked.text

    chosen: dict[str, Any] = {"token": token, "at": ["0:3", "0:1", "0:99", "²:1", "x"]}
    done = await acting.http.post(
        "/dead-letters/replay", data=chosen | {"confirmed": "1"}
    )

    assert acting.kafka.replayed == [Position(0, 3), Position(0, 1)]
    shown = await acting.text(done.headers["location"])
    assert "2 dead letters replayed" in shown
    assert '<a href="/dead-letters/0/3">0:3</a>' in shown


@pytest.mark.parametrize(
    ("change", "headers", "status"),
    [
        ({"token": "0" * 64}, {}, 403),
        ({}, {"Origin": "https://evil.example"}, 403),
        ({}, {"Sec-Fetch-Site": "cross-site"}, 403),
        ({"at": "0:9"}, {}, 409),
        ({}, {}, 303),
    ],
)
async def test_a_replay_is_taken_from_its_own_page_alone(
    acting: Ui, change: dict[str, str], headers: dict[str, str], status: int
) -> None:
    acting.seen.installation.park(a_letter(1))
    token = await acting.token("/dead-letters")
    form = {"token": token, "at": "0:1", "confirmed": "1"}

    answer = await acting.http.post(
        "/dead-letters/replay", data=form | change, headers=headers
    )

    assert answer.status_code == status
    assert bool(acting.kafka.replayed) is (status == 303)


async def test_what_makes_commands_or_replays_says_who_in_the_log() -> None:
    async with served(allows_actions=True, user_header="X-User") as ui:
        ui.seen.installation.put(a_row("a", State.FAILED))
        ui.seen.installation.park(a_letter(1))
        ui.http.headers["X-User"] = "ann"
        form = {
            "token": await ui.token("/deliveries/a"),
            "action": "send-again",
            "id": "a",
        }
        once = re.search('name="once" value="([^"]+)"', (await ui.order(**form)).text)
        assert once is not None
        with capture_logs() as lines:
            await ui.order(**form, confirmed="1", once=once[1])
            await ui.http.post(
                "/dead-letters/replay",
                data={"token": form["token"], "at": "0:1", "confirmed": "1"},
            )

    assert [(each["who"], each["event"]) for each in lines] == [
        ("ann", "commands were sent again by an operator"),
        ("ann", "dead letters were replayed by an operator"),
    ]
    assert lines[0]["resent_as"] == ("a-2",)
    assert lines[1]["positions"] == ("0:1",)


async def test_read_only_offers_no_replay(ui: Ui) -> None:
    ui.seen.installation.park(a_letter(1))

    for path in ("/dead-letters", "/dead-letters/0/1"):
        ui.kafka.held["jet.dead-letters", 1] = AKafkaRecord(value=b"{}")
        assert 'method="post"' not in await ui.text(path)
    answer = await ui.http.post("/dead-letters/replay", data={"at": "0:1"})
    assert answer.status_code in {404, 405}
    assert ui.kafka.replayed == []
