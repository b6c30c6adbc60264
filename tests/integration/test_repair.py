"""What an operator sees and repairs from the command line, over two workers."""

import asyncio
import json

import pytest
from aiohttp import web
from aiokafka import AIOKafkaProducer

from jetworker.cli import orders, publish, unanswered
from jetworker.cli.listing import Selection
from tests.support.command_line import JETWORKER, run
from tests.support.jet.fake_server import JetServer, refuse_starts
from tests.support.system import System, a_command
from tests.support.terminal import see
from tests.support.waiting import until

pytestmark = pytest.mark.integration

ONLY_IN_EVENTS = {"eventType", "eventTime"}


@pytest.fixture
async def served(system: System) -> System:
    """Return a system that two workers serve."""
    for worker in [await system.worker(), await system.worker()]:
        await worker.ready()
    return system


def lose_starts(operation: str, _: JetServer) -> web.Response | str | None:
    """Lose every start before it is applied, and show no files to find one by."""
    if operation == "list_files":
        return web.Response(status=404)
    return "lost_before" if operation == "start_delivery" else None


async def told(system: System, command_id: str, kind: str, code: str = "") -> None:
    """Wait until an event was told of a command, with a reason if one is given."""

    async def is_told() -> bool:
        return any(
            event.key == command_id
            and event.kind == kind
            and (not code or (event.data["reason"] or {}).get("code") == code)
            for event in await system.events()
        )

    await until(is_told, f"{kind} {code} of {command_id}")


async def test_a_list_shows_every_command_of_all_partitions_and_what_became_of_it(
    served: System,
) -> None:
    served.jet.jobs["job-other"].paused = True
    many = [f"done-{n}" for n in range(8)]
    await served.publish(*(a_command(name, metadata={"n": name}) for name in many))
    for name in many:
        await told(served, name, "delivery.completed")
    await served.publish(a_command("w", "waiting-paused"), a_command("s", "shut"))
    await told(served, "w", "delivery.waiting")
    await told(served, "s", "delivery.waiting")

    every = (await run(served, "list", "--json")).lines("list")
    waiting = (await run(served, "list", "--json", "--state", "waiting")).lines("list")
    on_route = await run(served, "list", "--json", "--route", "shut", "--since", "1h")
    none = await run(served, "list", "--json", "--since", "1ms")
    limited = await run(served, "list", "--json", "--limit", "3")
    table = await run(served, "list")
    held = await run(served, "list", "--state", "held")
    wrong = await run(served, "list", "--state", "lost")

    assert "it waits for its turn" in table.err
    assert held.err == ""
    assert {row["commandId"] for row in every} == {*many, "w", "s"}
    assert [row["changedAt"] for row in every] == sorted(r["changedAt"] for r in every)
    last = {e.key: e.data for e in await served.events() if "delivery." in e.kind}
    for row in every:
        event = last[row["commandId"]]
        assert row == {
            **{name: event[name] for name in event if name not in ONLY_IN_EVENTS},
            "changedAt": row["changedAt"],
        }
    assert {row["commandId"] for row in waiting} == {"w", "s"}
    assert [row["commandId"] for row in on_route.lines("list")] == ["s"]
    assert (none.code, none.out) == (0, "")
    assert limited.lines("list") == every[:3]
    assert limited.err == "jetworker: 7 of 10 are not shown\n"
    header, *rows = [line.split("\t") for line in table.out.splitlines()]
    assert header[:4] == ["command", "route", "state", "why"]
    assert ["w", "waiting-paused", "waiting", "job_paused"] in [row[:4] for row in rows]
    assert wrong.code == 2


async def test_an_order_goes_to_all_that_fit_after_it_was_asked_for(
    served: System,
) -> None:
    served.jet.jobs["job-other"].paused = True
    names = [f"w-{n}" for n in range(5)]
    await served.publish(*(a_command(name, "waiting-paused") for name in names))
    await served.publish(a_command("other", "shut"), a_command("done"))
    for name in (*names, "other"):
        await told(served, name, "delivery.waiting")
    await told(served, "done", "delivery.completed")
    order = ("cancel", "--route", "waiting-paused")

    refusals = [
        await see((*JETWORKER, *order), served.environ, typed=answer)
        for answer in ("n\n", "\n", "nonsense\nn\n")
    ]
    shown = await run(served, *order, "--dry-run", "--json")
    unasked = await run(served, *order)
    both = await run(served, *order, "w-1")
    neither = await run(served, "cancel")
    done = await run(served, *order, "--yes", "--json")
    again = await run(served, *order, "--yes")
    ended = await run(served, "cancel", "--state", "completed", "--yes", "--json")
    seen = await see(
        (*JETWORKER, "cancel", "--state", "waiting"), served.environ, typed="y\n"
    )

    for refused in refusals:
        assert refused.code == 2
        assert "cancel 5 commands? [y/N]:" in refused.text
    found = shown.document("orders")
    assert shown.code == 0
    assert found["dryRun"] is True
    assert {each["commandId"] for each in found["orders"]} == set(names)
    assert {each["answer"] for each in found["orders"]} == {None}
    assert (unasked.code, both.code, neither.code) == (2, 2, 2)
    assert "5 on waiting-paused" in unasked.out
    assert "--yes" in unasked.err
    assert done.code == 0
    assert [each["answer"] for each in done.document("orders")["orders"]] == [
        "applied"
    ] * 5
    assert (again.code, again.out) == (0, "cancel: 0 commands fit\n")
    assert ended.document("orders")["orders"] == []
    assert seen.code == 0
    assert "cancel 1 command? [y/N]:" in seen.text
    assert seen.text.endswith("carried out: 1\n")
    for name in (*names, "other"):
        await told(served, name, "delivery.cancelled")


async def test_all_held_ones_are_decided_at_once_and_explained_before(
    served: System,
) -> None:
    served.jet.fault = lose_starts
    names = ["h-1", "h-2", "h-3"]
    await served.publish(*(a_command(name, "holding") for name in names))
    for name in names:
        await told(served, name, "delivery.uncertain", "held")

    listed = (await run(served, "list", "--state", "held", "--json")).lines("list")
    explained = await run(served, "explain", "h-1")
    document = (await run(served, "explain", "h-1", "--json")).document("explain")
    adopt = await run(served, "resolve", "--state", "held", "adopt", "--yes")
    order = ("resolve", "--state", "held", "abandon", "--yes", "--json")
    resolved = await run(served, *order)
    one = await run(served, "explain", "h-1")

    assert {row["commandId"] for row in listed} == set(names)
    assert {row["state"] for row in listed} == {"uncertain"}
    assert "jetworker resolve h-1 abandon" in explained.out
    assert "COMMAND_ID" not in explained.out
    assert "jetworker resolve h-1 resend" in document["commands"]
    assert document["delivery"]["reason"]["code"] == "held"
    assert adopt.code == 2
    assert resolved.code == 0
    answers = {
        each["commandId"]: each["answer"]
        for each in resolved.document("orders")["orders"]
    }
    assert answers == dict.fromkeys(names, "applied")
    assert "abandoned" in one.out
    assert "jetworker resend h-1" in one.out


async def test_an_order_that_nobody_takes_says_so_early_and_what_becomes_of_it(
    system: System,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    worker = await (await system.worker()).ready()
    names = [f"s-{number}" for number in range(3)]
    await system.publish(*(a_command(name, "shut") for name in names))
    for name in names:
        await told(system, name, "delivery.waiting")
    assert await worker.stop() == 0
    monkeypatch.setattr(unanswered, "SAID_AFTER", 0.1)
    monkeypatch.setattr(unanswered, "GIVEN_UP_AFTER", 4.0)
    one = {"commandId": "s-0", "type": "cancel"}
    rest = Selection(route="shut")

    single = await publish.order(system.config, one, as_json=True)
    alone = capsys.readouterr()
    bulk = await orders.order_all(
        system.config,
        orders.Order("cancel"),
        rest,
        dry_run=False,
        yes=True,
        as_json=False,
    )
    many = capsys.readouterr()
    new = a_command("s-new", "shut")
    sending = asyncio.create_task(
        publish.send(system.config, new, wait=True, as_json=True)
    )
    said = ""

    def is_said() -> bool:
        nonlocal said
        said += capsys.readouterr().err
        return "still waiting" in said

    await until(is_said, "why nothing comes")
    await (await system.worker()).ready()
    for name in names:
        await told(system, name, "delivery.cancelled")
    await run(system, "cancel", "s-new")

    assert (single, bulk) == (1, 1)
    assert (alone.out, many.out.splitlines()[-1]) == ("", "carried out: 0")
    nobody = f"no worker runs, the group {system.name} has no members"
    for each in (alone, many):
        early, late = (
            each.err.index("still waiting: "),
            each.err.index("no answer within"),
        )
        assert early < late
        assert each.err.count(nobody) == 2
    assert "the order is not taken back: a worker that reads it later" in alone.err
    assert "orders are not taken back: a worker that reads them later" in many.err
    assert nobody in said
    assert await sending == 1


async def test_what_has_ended_is_sent_again_under_a_new_id(served: System) -> None:
    served.jet.fault = refuse_starts
    first = a_command("bad", metadata={"ticket": "OPS-12"})
    late = a_command("late", "shut", expiresAt="2099-01-01T00:00:00Z")
    await served.publish(first, late)
    await told(served, "bad", "delivery.failed")
    await told(served, "late", "delivery.waiting")
    served.jet.fault = lambda _operation, _server: None

    again = await run(served, "resend", "bad", "--json")
    await told(served, "bad-2", "delivery.completed")
    third = await run(served, "resend", "bad")
    named = await run(served, "resend", "bad", "--id", "mine")
    two = await run(served, "resend", "bad", "bad-2", "--id", "x")
    still_open = await run(served, "resend", "late")
    unknown = await run(served, "resend", "nobody")
    unstarted = await run(served, "resend", "bad", "--failed-only")

    (resent,) = again.document("resend")["resent"]
    assert (resent["commandId"], resent["resentAs"], resent["objects"]) == (
        *("bad", "bad-2", 1),
    )
    assert (third.out, named.out) == ("bad-3\n", "mine\n")
    codes = [two.code, still_open.code, unknown.code, unstarted.code]
    assert codes == [2, 2, 1, 2]
    commands = {
        body["commandId"]: body
        for body in map(
            json.loads,
            [r.value for r in await served.read(served.config.topics.commands)],
        )
    }
    assert commands.keys() == {"bad", "late", "bad-2", "bad-3", "mine"}
    new = commands["bad-2"]
    assert (new["objects"], new["metadata"]) == (first["objects"], first["metadata"])


async def test_dead_letters_are_listed_shown_and_replayed_once(served: System) -> None:
    await served.publish(a_command("lost", "nowhere"), a_command("gone", "nowhere"))
    await served.publish(b"\xff{", trace=b"\x01")
    await told(served, "lost", "command.rejected")
    await told(served, "gone", "command.rejected")

    async def are_parked() -> bool:
        return len(await served.read(served.config.topics.dead_letters)) == 3

    await until(are_parked, "three dead letters")
    listed = await run(served, "dead-letters", "list", "--json")
    letters = {each["commandId"]: each for each in listed.lines("dead-letters-list")}
    table = await run(served, "dead-letters", "list", "--reason", "unknown_route")
    shown = await run(
        served, "dead-letters", "show", letters[None]["position"], "--json"
    )
    nothing = await run(served, "dead-letters", "show", "0:999")
    routes = served.folder / "routes.yaml"
    routes.write_text(routes.read_text() + "  nowhere: {job_id: job-archive}\n")
    replay = ("dead-letters", "replay", "--reason", "unknown_route")
    dry = await run(served, *replay, "--dry-run", "--json")
    unasked = await run(served, *replay)
    done = await run(served, *replay, "--yes", "--json")
    twice = await run(served, *replay, "--yes", "--json")

    assert set(letters) == {"lost", "gone", None}
    assert listed.err.splitlines() == [
        "jetworker: 1 invalid_json",
        "jetworker: 2 unknown_route",
    ]
    assert table.out.splitlines()[-1] == "2 unknown_route"
    letter = shown.document("dead-letter")
    assert (letter["value"], letter["valueBase64"]) == (None, "/3s=")
    assert {"name": "trace", "value": "\x01", "base64": None} in letter["headers"]
    assert (nothing.code, nothing.out) == (1, "")
    assert len(dry.document("dead-letters-replay")["replayed"]) == 2
    assert unasked.code == 2
    first = done.document("dead-letters-replay")
    assert [each["published"]["topic"] for each in first["replayed"]] == [
        served.config.topics.commands
    ] * 2
    assert [each["published"]["partition"] for each in first["replayed"]] == [
        each["origin"]["partition"] for each in first["replayed"]
    ]
    second = twice.document("dead-letters-replay")
    assert second["replayed"] == []
    assert set(second["skipped"]) == {letters[n]["position"] for n in ("lost", "gone")}
    answers = [e for e in await served.events() if e.key == "lost"]
    assert answers[0].kind == "command.rejected"
    audited = await run(served, "audit", "--json")
    assert audited.document("audit")["violations"] == []


async def test_a_letter_that_came_from_a_replay_is_replayed_by_its_position_only(
    served: System,
) -> None:
    await served.publish(a_command("lost", "nowhere"))
    await told(served, "lost", "command.rejected")
    replay = ("dead-letters", "replay", "--yes", "--json")
    await run(served, *replay)

    async def is_parked_again() -> bool:
        found = await run(served, "dead-letters", "list", "--json")
        return len(found.out.splitlines()) == 2

    await until(is_parked_again, "the replay's own letter")
    old, new = (await run(served, "dead-letters", "list", "--json")).lines(
        "dead-letters-list"
    )
    by_reason = await run(served, *replay, "--reason", "unknown_route")
    by_position = await run(served, *replay, new["position"])

    assert (old["replayedFrom"], new["replayedFrom"]) == (None, old["position"])
    assert old["replayedAt"] is not None
    assert by_reason.document("dead-letters-replay")["replayed"] == []
    (again,) = by_position.document("dead-letters-replay")["replayed"]
    assert again["position"] == new["position"]


async def test_letters_of_a_topic_that_is_gone_keep_no_other_from_its_replay(
    system: System,
) -> None:
    """The commands topic was renamed; or somebody wrote a letter of no topic at all."""
    topics = system.config.topics
    where = {"partition": b"0", "offset": b"7", "reason": b"expired", "message": b"no"}
    producer = AIOKafkaProducer(bootstrap_servers=system.kafka)
    await producer.start()
    try:
        for topic in (f"{topics.commands}-before", topics.commands, "no/topic"):
            headers = where | {"topic": topic.encode()}
            letter = [(f"jetworker-{name}", value) for name, value in headers.items()]
            await producer.send_and_wait(
                topics.dead_letters, b"{}", topic.encode(), partition=0, headers=letter
            )
    finally:
        await producer.stop()

    replayed = await run(system, "dead-letters", "replay", "--yes", "--json")
    again = await run(system, "dead-letters", "replay", "--yes")

    lines = replayed.err.splitlines()
    assert lines == [
        f"jetworker: 0:0 is left as it is: there is no topic {topics.commands}-before",
        "jetworker: 0:2 is left as it is: there is no topic no/topic",
    ]
    assert (replayed.code, again.code) == (1, 1)
    found = replayed.document("dead-letters-replay")["replayed"]
    assert {each["position"]: each["published"] for each in found} == {
        "0:0": None,
        "0:1": {"topic": topics.commands, "partition": 0, "offset": 0},
        "0:2": None,
    }
    assert again.out.splitlines()[-2:] == ["1 left out: replayed before", "replayed: 0"]
    assert again.err.splitlines() == lines
    assert len(await system.read(topics.commands)) == 1


async def test_check_names_paused_jobs_and_those_that_would_be_made(
    system: System,
) -> None:
    routes = system.folder / "routes.yaml"
    routes.write_text(
        "routes:\n"
        "  archive: {job_id: job-archive}\n"
        "  waits: {job_id: job-other}\n"
        "  shut: {job_name: other, paused: true}\n"
        "  made: {source: London, destination: Paris}\n"
    )
    system.jet.jobs["job-other"].paused = True

    online = await run(system, "check", "--json")
    lines = await run(system, "check")
    await system.jet.down()
    system.changes = {"JETWORKER_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9"}
    away = await run(system, "check")
    offline = await run(system, "check", "--offline", "--json")
    routes.write_text("routes: {a: {}}")
    wrong = await run(system, "check", "--offline", "--json")

    assert (online.code, lines.code) == (0, 0)
    told_of = {c["name"]: c["message"] for c in online.document("check")["checks"]}
    assert told_of["route archive"] is None
    assert told_of["routes (4)"] == "paused: shut"
    assert "the job other is paused: its commands wait" in told_of["route waits"]
    assert "would be created" in told_of["route made"]
    assert "route archive: ok\n" in lines.out
    assert "route waits: ok, the job other is paused" in lines.out
    assert system.jet.jobs.keys() == {"job-archive", "job-other", *_others(system)}
    assert away.code == 78
    told_away = dict(line.split(": ", 1) for line in away.out.splitlines())
    assert told_away["settings"] == "ok"
    for name, of_it in {
        "kafka": "kafka.bootstrap_servers, security_protocol and credentials",
        "token": "jet.base_url",
    }.items():
        assert "a worker waits until it answers" in told_away[name]
        assert f"check {of_it}" in told_away[name]
    assert offline.code == 0
    names = [c["name"] for c in offline.document("check")["checks"]]
    assert names == ["settings", "routes (4)"]
    assert wrong.code == 78
    assert wrong.document("check")["ok"] is False


def _others(system: System) -> set[str]:
    return {job.job_id for job in system.jet.jobs.values() if job.name == "nightly"}


async def test_every_other_command_prints_one_document_that_its_schema_describes(
    system: System,
) -> None:
    ran = {
        "topics": await run(system, "topics", "create", "--json"),
        "profiles": await run(system, "profiles", "list", "--json"),
        "jobs": await run(system, "jobs", "list", "--json"),
        "job": await run(system, "jobs", "pause", "other", "--json"),
        "send": await run(system, "send", "archive", "/a", "--json"),
        "schemas": await run(system, "schemas", str(system.folder / "s"), "--json"),
        "explain": await run(system, "explain", "nobody", "--json"),
        "audit": await run(system, "audit", "--seconds", "0", "--json"),
        "jobs-observe": await run(system, "jobs", "observe", "archive", "--json"),
        "state-rebuild": await run(system, "state", "rebuild", "--json"),
    }

    found = {name: each.document(name) for name, each in ran.items()}
    assert {name: each.code for name, each in ran.items()} == {
        **dict.fromkeys(ran, 0),
        **dict.fromkeys(("explain", "audit"), 1),
    }
    assert [topic["created"] for topic in found["topics"]["topics"]] == [False] * 4
    assert found["job"] == {"jobId": "job-other", "name": "other", "paused": True}
    assert found["explain"]["delivery"] is None
    assert found["audit"]["holds"] is False
    assert found["state-rebuild"] == {"dryRun": False, "partitions": []}


@pytest.mark.parametrize(
    "asked",
    [("list",), ("watch",), ("watch", "any"), ("send", "archive", "/a", "--wait")],
    ids=" ".join,
)
async def test_without_kafka_a_command_says_where_none_answered_in_one_line(
    system: System, asked: tuple[str, ...]
) -> None:
    system.changes = {"JETWORKER_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9"}

    ran = await run(system, *asked)

    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "jetworker: opening a reader: no broker answers at 127.0.0.1:9\n"


async def test_a_topic_that_is_not_there_is_named_with_the_cure(
    system: System,
) -> None:
    system.changes = {
        "JETWORKER_TOPICS__EVENTS": "gone.events",
        "JETWORKER_TOPICS__STATE": "gone.state",
    }
    asked = {
        "gone.events": [
            await run(system, "watch"),
            await run(system, "send", "archive", "/a", "--wait"),
        ],
        "gone.state": [await run(system, "list"), await run(system, "explain", "x")],
    }

    for topic, told in asked.items():
        for each in told:
            assert each.code == 1
            assert f"the partitions of {topic}: Kafka shows no such topic" in each.err
            assert "run `jetworker topics create`" in each.err
