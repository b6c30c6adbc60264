"""Every record is answered, every obstacle is told, and none stops the others."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from tests.support.invariants import judge
from tests.support.jet.fake_server import JetServer
from tests.support.system import STATED, Event, System, a_command
from tests.support.waiting import shown_within, until

pytestmark = pytest.mark.integration

EXPIRIES = (3, 15, 60)  # seconds
WINDOWS = (8, 40)  # seconds
ACCEPTED = "delivery.accepted"


def kinds(events: list[Event], command_id: str) -> list[str]:
    """Return what was told of one command, with the reasons."""
    found = []
    for event in events:
        if event.key == command_id and event.kind.startswith("delivery."):
            reason = event.data["reason"]
            kind = event.kind.removeprefix("delivery.")
            found.append(f"{kind}:{reason['code']}" if reason else kind)
    return found


async def told(system: System, command_id: str, last: str) -> list[str]:
    """Wait until *last* was told of a command, and return everything told of it."""
    found: list[str] = []

    async def enough() -> bool:
        nonlocal found
        found = kinds(await system.events(), command_id)
        return last in found

    await until(enough, f"{last} of {command_id}, but {found}")
    return found


POISON: list[bytes] = [
    b"",
    b"nonsense",
    b"[" * 100_000,
    b'{"commandId":"p","commandId":"p"}',
    b'{"commandId":"p","route":"archive","objects":[{"relativePath":"/a/../b"}]}',
    b'{"commandId":"p","route":"nowhere","objects":[{"relativePath":"/a"}]}',
    b'{"commandId":"p","route":"narrow","objects":[{"relativePath":"/ingest2/a"}]}',
    b'{"commandId":"p","route":"archive","objects":[{"relativePath":"/a"}],'
    b'"expiresAt":"2001-01-01T00:00:00Z"}',
    b'{"commandId":"p","type":"cancel"}',
    b"\xff\xfe\x00",
]
REASONS = [
    *["invalid_json"] * 4,
    "invalid_command",
    "unknown_route",
    "path_not_allowed",
    "expired",
    "unknown_command",
    "invalid_json",
]


async def test_poison_is_answered_and_parked_and_stops_nothing(system: System) -> None:
    await (await system.worker()).ready()
    command = a_command("c-1")

    await system.publish(*POISON, command, command, command | {"route": "by-name"})
    await system.terminal(1)

    async def are_answered() -> bool:
        answers = [e for e in await system.events() if e.kind.startswith("command.")]
        return len(answers) >= len(POISON) + 2

    await until(are_answered, "an answer to each")
    events = await system.events()
    rejected = [e for e in events if e.kind == "command.rejected"]
    codes = sorted(e.data["reason"]["code"] for e in rejected)
    assert codes == sorted([*REASONS, "conflict"])
    assert [e.key for e in events if e.kind == "command.duplicate"] == ["c-1"]
    judge(
        [e for e in events if not e.kind.startswith("command.")], [command], system.jet
    )
    parked = await system.read(system.config.topics.dead_letters)
    assert sorted(r.value for r in parked if r.value in POISON) == sorted(POISON)
    assert len(parked) == len(POISON) + 1
    where = {
        (
            int(dict(r.headers)["jetworker-partition"]),
            int(dict(r.headers)["jetworker-offset"]),
        )
        for r in parked
    }
    assert where == {(e.data["partition"], e.data["offset"]) for e in rejected}


async def test_a_paused_job_waits_fails_or_is_resumed_as_its_route_says(
    system: System,
) -> None:
    await (await system.worker()).ready()
    system.jet.jobs["job-other"].paused = True
    await system.publish(
        a_command("f", "failing-paused"), a_command("w", "waiting-paused")
    )

    assert await told(system, "f", "failed:job_paused") == [
        "accepted",
        "failed:job_paused",
    ]
    assert await told(system, "w", "waiting:job_paused") == [
        "accepted",
        "waiting:job_paused",
    ]
    await system.publish(a_command("other"))
    assert "completed" in await told(system, "other", "completed")
    await system.publish(a_command("r", "resuming"))
    resumed = await told(system, "r", "completed")
    waited = await told(system, "w", "completed")

    assert not any(kind.startswith("waiting") for kind in resumed)
    assert waited[:3] == ["accepted", "waiting:job_paused", "started"]
    assert system.jet.count("set_paused") == 1


async def test_a_paused_route_waits_before_its_job_is_asked_until_the_file_says_else(
    system: System,
) -> None:
    await (await system.worker()).ready()
    system.jet.jobs["job-other"].paused = True
    routes = system.folder / "routes.yaml"

    await system.publish(a_command("s", "shut"))
    await told(system, "s", "waiting:route_paused")
    await system.publish(a_command("other"))
    await told(system, "other", "completed")
    before = len(system.jet.creations())
    routes.write_text(routes.read_text().replace("paused: true", "paused: false"))
    await told(system, "s", "waiting:job_paused")
    system.jet.jobs["job-other"].paused = False

    assert before == 1
    assert (await told(system, "s", "completed"))[:4] == [
        "accepted",
        "waiting:route_paused",
        "waiting:job_paused",
        "started",
    ]


async def test_what_is_over_is_not_told_as_being_in_the_way_by_a_worker(
    system: System,
) -> None:
    worker = await (await system.worker()).ready()
    routes = system.folder / "routes.yaml"
    await system.publish(a_command("s-1", "shut"), a_command("s-2", "shut"))
    await told(system, "s-1", "waiting:route_paused")
    await told(system, "s-2", "waiting:route_paused")
    row = (await worker.get("/api/deliveries?text=s-2")).json()["deliveries"][0]
    paused = row["waitsFor"]

    system.jet.delays["job-other"] = 5
    routes.write_text(routes.read_text().replace("paused: true", "paused: false"))
    found: dict[str, Any] = {}

    async def is_one_in_flight() -> bool:
        answer = await worker.get("/api/deliveries?route=shut")
        found.update({row["state"]: row for row in answer.json()["deliveries"]})
        return {"starting", "waiting"} <= found.keys()

    await until(is_one_in_flight, "a start that waits behind another")
    status = (await worker.get("/api/status")).json()
    (route,) = [each for each in status["routes"] if each["route"] == "shut"]

    assert paused.startswith("route_paused: ")
    assert found["waiting"]["reason"].startswith("route_paused: ")
    assert found["waiting"]["waitsFor"].startswith("its turn")
    assert found["starting"]["waitsFor"] is None
    assert route["obstacle"] is None


async def test_a_route_s_limit_is_kept_and_told(system: System) -> None:
    await (await system.worker()).ready()
    system.jet.seconds = 0.5
    commands = [a_command(f"m-{n}", "limited") for n in range(6)]
    most = 0

    def watch(_operation: str, server: JetServer) -> None:
        nonlocal most
        most = max(most, sum(not d.is_over for d in server.deliveries.values()))

    system.jet.fault = watch
    await system.publish(*commands)
    events = await system.terminal(6)

    judge(events, commands, system.jet)
    assert most <= 2
    assert any("waiting:limit" in kinds(events, c["commandId"]) for c in commands)


async def test_a_command_expires_while_it_waits_and_another_is_cancelled(
    system: System,
) -> None:
    """What a busy machine reads too late is rejected instead: it is given longer then."""
    await (await system.worker()).ready()
    system.jet.jobs["job-other"].paused = True
    await system.publish(a_command("c", "waiting-paused"))
    await told(system, "c", "waiting:job_paused")

    async def missing(seconds: int) -> str:
        name = f"e-{seconds}"
        soon = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
        await system.publish(a_command(name, "waiting-paused", expiresAt=soon))

        async def is_answered() -> bool:
            return any(e.key == name for e in await system.events())

        await until(is_answered, f"an answer to {name}")
        if not kinds(await system.events(), name):
            return f"{name} had expired when it was read"
        assert (await told(system, name, "failed:expired"))[-1] == "failed:expired"
        return ""

    await shown_within(EXPIRIES, missing)
    await system.publish({"commandId": "c", "type": "cancel"})

    assert (await told(system, "c", "cancelled"))[-1] == "cancelled"
    events = await system.events()
    assert [e.data["type"] for e in events if e.kind == "command.applied"] == ["cancel"]
    assert system.jet.deliveries == {}


async def test_what_an_operator_must_repair_waits_and_what_cannot_be_fails(
    system: System,
) -> None:
    await (await system.worker()).ready()
    await system.publish(
        a_command("gone", "gone"), a_command("unnamed", "unnamed"), a_command("ok")
    )

    assert (await told(system, "ok", "completed"))[-1] == "completed"
    assert (await told(system, "gone", "failed:job_not_found"))[
        -1
    ] == "failed:job_not_found"
    await told(system, "unnamed", "waiting:job_unavailable")
    system.jet.add_job("no-such-name")
    assert (await told(system, "unnamed", "completed"))[-1] == "completed"


async def test_completed_with_failed_objects_and_a_deadline_are_failed(
    system: System,
) -> None:
    await (await system.worker()).ready()
    system.jet.seconds = 30
    await system.publish(a_command("late", "hurried"), a_command("half"))
    await told(system, "half", "started")
    half = next(
        d
        for d in system.jet.deliveries.values()
        if "half" in d.objects[0]["relativePath"]
    )
    half.failed, half.seconds = 1, 0

    assert (await told(system, "half", "failed:objects_failed"))[
        -1
    ] == "failed:objects_failed"
    late = await told(system, "late", "failed:deadline_exceeded")
    assert late[-1] == "failed:deadline_exceeded"


async def test_jet_down_and_busy_and_unauthorised_lose_and_double_nothing(
    system: System,
) -> None:
    await (await system.worker()).ready()
    trouble = [
        web.json_response(
            {"message": "busy"}, status=429, headers={"Retry-After": "1"}
        ),
        web.json_response({"message": "who?"}, status=401),
        web.json_response({"message": "who?"}, status=401),
    ]

    def fault(operation: str, _server: JetServer) -> web.Response | None:
        return trouble.pop(0) if operation == "start_delivery" and trouble else None

    system.jet.fault = fault
    commands = [a_command(f"t-{n}") for n in range(3)]
    await system.publish(*commands)
    events = await system.terminal(3)

    judge(events, commands, system.jet)
    all_told = [kind for c in commands for kind in kinds(events, c["commandId"])]
    assert "waiting:jet_unavailable" in all_told
    assert "waiting:unauthorized" in all_told
    assert {e.data["attempt"] for e in events if e.is_terminal} == {1}
    starts = [at for at, each, _ in system.jet.requests if each == "start_delivery"]
    assert starts[1] - starts[0] >= 0.9


async def test_a_worker_waits_for_a_wrong_secret_to_be_repaired(system: System) -> None:
    secrets = system.folder / "secrets"
    secrets.mkdir()
    (secrets / "jet__client_secret").write_text("wrong")
    worker = await system.worker(
        JETWORKER_SECRETS_DIR=str(secrets), JETWORKER_JET__CLIENT_SECRET=""
    )
    await system.publish(a_command("s"))
    await until(lambda: "no token could be obtained" in worker.log.read_text(), "a log")

    (secrets / "jet__client_secret").write_text(system.jet.secret)
    events = await system.terminal(1)

    assert kinds(events, "s")[-1] == "completed"
    assert system.jet.secret not in worker.log.read_text()
    assert system.jet.count("token") < 30


async def test_a_delivery_that_jet_does_not_know_for_a_while_is_not_given_up(
    system: System,
) -> None:
    """Minutes of Jet's own 404 it takes; see the tests of the status poll."""
    await (await system.worker()).ready()
    system.jet.seconds = 3600
    await system.publish(a_command("f"))
    await told(system, "f", "progressed")

    forgotten = dict(system.jet.deliveries)
    system.jet.deliveries.clear()
    asked = system.jet.count("get_delivery")
    await until(lambda: system.jet.count("get_delivery") - asked >= 4, "four 404s")
    system.jet.deliveries.update(forgotten)
    for each in forgotten.values():
        each.seconds = 0
    found = await told(system, "f", "completed")

    assert found[-1] == "completed"


async def test_the_routes_file_is_read_again_and_an_invalid_one_changes_nothing(
    system: System,
) -> None:
    worker = await (await system.worker()).ready()
    routes = system.folder / "routes.yaml"
    good = routes.read_text()

    await asyncio.to_thread(routes.write_text, "routes: {oops: {}}")
    await until(
        lambda: "the old routes stay" in worker.log.read_text(), "a rejected file"
    )
    status = (await worker.get("/api/status")).json()
    assert "oops" in status["checks"]["routes"]
    await asyncio.to_thread(
        routes.write_text, f"{good}  fresh: {{job_id: job-archive, {STATED}}}\n"
    )
    await until(
        lambda: "the routes file changed" in worker.log.read_text(), "a new file"
    )
    status = (await worker.get("/api/status")).json()
    assert status["checks"]["routes"] is None
    assert "fresh" in {each["route"] for each in status["routes"]}
    await system.publish(a_command("n", "fresh"))
    events = await system.terminal(1)

    assert kinds(events, "n")[-1] == "completed"
    metrics = (await worker.get("/metrics")).text
    assert 'jetworker_routes_reloads_total{outcome="rejected"} 1.0' in metrics


async def test_an_ended_command_is_remembered_over_a_restart_until_its_window_is_over(
    system: System,
) -> None:
    """The window is longer where a restart takes longer."""
    table = f"{system.name}.deliveries"
    system.changes = {"JETWORKER_TOPICS__DELIVERIES": table}
    await system.create()
    key = b""

    async def missing(seconds: int) -> str:
        nonlocal key
        command = a_command(f"d-{seconds}")
        key = command["commandId"].encode()
        is_remembered = await end_and_repeat(system, command, seconds)
        return "" if is_remembered else "it was forgotten before it was repeated"

    await shown_within(WINDOWS, missing)
    created = len(system.jet.creations()[f"/{key.decode()}.mov"])

    async def is_forgotten() -> bool:
        records = await system.read(system.config.topics.state)
        return any(r.key == key and r.value is None for r in records)

    await until(is_forgotten, "a tombstone")
    await system.publish(a_command(key.decode()))
    await until(
        lambda: len(system.jet.creations()[f"/{key.decode()}.mov"]) == 2,
        "a second delivery",
    )
    assert created == 1
    rows = [row for row in await system.read(table) if row.key == key]
    assert len({row.partition for row in rows}) == 1
    completed, gone = rows[[row.value for row in rows].index(None) - 1 :][:2]
    assert json.loads(completed.value)["state"] == "completed"
    assert gone.value is None


async def end_and_repeat(system: System, command: dict[str, Any], window: int) -> bool:
    """Let a command end, restart the worker, repeat it; whether it was remembered."""
    name = command["commandId"]
    remembering = {"JETWORKER_DEDUPE_WINDOW": f"{window}s"}
    first = await (await system.worker(**remembering)).ready()
    await system.publish(command)
    await told(system, name, "completed")
    assert await first.stop() == 0
    second = await (await system.worker(**remembering)).ready()
    await system.publish(command)

    async def answers() -> list[str]:
        kinds = [each.kind for each in await system.events() if each.key == name]
        return [each for each in kinds if each in {"command.duplicate", ACCEPTED}]

    async def is_answered_twice() -> bool:
        return len(await answers()) == 2

    await until(is_answered_twice, "an answer to each")
    is_remembered = await answers() == [ACCEPTED, "command.duplicate"]
    if not is_remembered:
        await second.stop()
    return is_remembered
