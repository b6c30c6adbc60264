"""Every command of the command line: what it prints where, and its exit code."""

import asyncio
import json
import re
from pathlib import Path

import pytest
from aiohttp import web

from tests.support import forked
from tests.support.command_line import JETWORKER, run, started
from tests.support.jet.fake_server import JetServer, refuse_starts
from tests.support.system import System, a_command
from tests.support.terminal import Seen, see
from tests.support.waiting import PATIENCE, until

pytestmark = pytest.mark.integration


def lose_starts(operation: str, _: JetServer) -> web.Response | str | None:
    """Lose the answer to every start, and show no files to find it by."""
    if operation == "list_files":
        return web.Response(status=404)
    return "lost_after" if operation == "start_delivery" else None


async def seen(system: System, command_id: str, kind: str) -> None:
    """Wait until an event of this kind was told of a command."""

    async def is_there() -> bool:
        events = await system.events()
        return any(e.key == command_id and e.kind == kind for e in events)

    await until(is_there, f"{kind} of {command_id}")


async def test_send_wait_leaves_with_how_the_command_ended(system: System) -> None:
    await (await system.worker()).ready()

    good = await run(system, "send", "archive", "/a", "/b/", "--id", "good", "--wait")
    path = await run(system, "send", "narrow", "/a", "--id", "path", "--wait")
    other = await run(system, "send", "archive", "/c", "--id", "good", "--wait")
    system.jet.fault = refuse_starts
    bad = await run(system, "send", "archive", "/a", "--id", "bad", "--wait")

    assert [each.code for each in (good, bad, path, other)] == [0, 1, 2, 2]
    assert good.told[0]["eventType"] == "io.jetworker.delivery.accepted"
    assert good.told[0]["requested"] == {"count": 2, "bytes": None}
    assert good.told[-1]["eventType"] == "io.jetworker.delivery.completed"
    assert other.told[-1]["reason"]["code"] == "conflict"
    assert not any(each.err for each in (good, bad, path, other))


async def test_send_wait_for_what_has_ended_already_leaves_as_it_ended(
    system: System,
) -> None:
    await (await system.worker()).ready()
    await run(system, "send", "archive", "/a", "--id", "good", "--wait")
    system.jet.fault = refuse_starts
    await run(system, "send", "archive", "/a", "--id", "bad", "--wait")

    good = await run(system, "send", "archive", "/a", "--id", "good", "--wait")
    bad = await run(system, "send", "archive", "/a", "--id", "bad", "--wait")

    assert [each.code for each in (good, bad)] == [0, 1]
    assert [e["eventType"] for e in good.told] == ["io.jetworker.command.duplicate"]


UNPUBLISHABLE = (
    ("send", "archive"),
    ("send", "archive", "/a", "--metadata", "{"),
    ("send", "archive", "/a", "--metadata", "[]"),
    ("send", "archive", "/a", "--expires-at", "soon"),
    ("send", "archive", "/a", "--id", "a b"),
    ("send", "archive", "/a/../b"),
    ("send", "archive", "/a", "/b/", "--size", "1", "--size", "2"),
    ("send", "archive", "/a", "--size", "-1"),
    ("send", "archive", "/a", "--stat", "/nonexistent"),
    ("cancel", "a b"),
    ("resolve", "c", "explode"),
    ("resolve", "c", "adopt"),
    ("resolve", "c", "resend", "--delivery-id", "d"),
    ("cancel", "never-seen"),
    ("topics", "create", "--partitions", "0"),
    ("frobnicate",),
)


async def test_what_cannot_be_published_leaves_with_2_and_publishes_nothing(
    system: System,
) -> None:
    for arguments in UNPUBLISHABLE:
        ran = await run(system, *arguments)

        assert (ran.code, ran.out) == (2, ""), arguments
        assert ran.err, arguments
        assert not await system.read(system.config.topics.commands), arguments


async def test_orders_are_published_where_the_command_is_and_explained(
    system: System,
) -> None:
    await (await system.worker()).ready()
    system.jet.jobs["job-other"].paused = True
    system.jet.listing = "none"
    await system.publish(a_command("w", "waiting-paused"))
    await seen(system, "w", "delivery.waiting")
    system.jet.fault = lose_starts
    await system.publish(a_command("h", "holding"))
    await until(system.jet.creations, "the lost start")
    (delivery_id,) = system.jet.creations()["/h.mov"]

    async def is_held() -> bool:
        events = [e for e in await system.events() if e.key == "h"]
        return (events[-1].data["reason"] or {}).get("code") == "held"

    await until(is_held, "a held command")
    held, waiting = await run(system, "explain", "h"), await run(system, "explain", "w")
    cancelled = await run(system, "cancel", "w")
    foreign = await run(system, "resolve", "h", "adopt", "--delivery-id", "nobodys")
    adopted = await run(system, "resolve", "h", "adopt", "--delivery-id", delivery_id)
    await system.terminal(2)
    again = await run(system, "cancel", "w")
    ended, unknown = (
        await run(system, "explain", "h"),
        await run(system, "explain", "x"),
    )

    published = {e.value for e in await system.read(system.config.topics.events)}
    assert {line.encode() for line in cancelled.out.splitlines()} <= published
    applied = cancelled.told[-1]
    assert (applied["eventType"], applied["type"]) == (
        "io.jetworker.command.applied",
        "cancel",
    )
    ran = (held, waiting, cancelled, foreign, adopted, again, ended, unknown)
    assert [each.code for each in ran] == [0, 0, 0, 2, 0, 2, 0, 1]
    assert re.search(
        r"because +held:.*\n(.*\n)*next (.*\n)+ +jetworker resolve h", held.out
    )
    assert "job_paused" in waiting.out
    assert foreign.told[-1]["reason"]["code"] == "not_adoptable"
    assert again.told[-1]["reason"]["code"] == "not_cancellable"
    assert re.search(r"state +completed", ended.out)


async def test_watch_prints_events_as_lines_and_ends_with_its_command(
    system: System,
) -> None:
    await (await system.worker()).ready()
    system.jet.jobs["job-other"].paused = True
    await system.publish(a_command("b", "waiting-paused"))
    await seen(system, "b", "delivery.waiting")
    watching = await started(system, "watch", "b"), await started(system, "watch")
    first = [asyncio.create_task(_line(each)) for each in watching]

    async def are_listening() -> bool:
        """Only what is told after they began to listen is printed."""
        await system.publish(a_command("a"), a_command("b", "waiting-paused"))
        return all(each.done() for each in first)

    await until(are_listening, "a line of each")
    system.jet.jobs["job-other"].paused = False
    out, _ = await asyncio.wait_for(watching[0].communicate(), PATIENCE)
    watching[1].terminate()
    await watching[1].wait()

    told = [json.loads(line) for line in (await first[0], *out.splitlines())]
    assert {each["commandId"] for each in told} == {"b"}
    assert told[-1]["eventType"] == "io.jetworker.delivery.completed"
    assert watching[0].returncode == 0
    assert "commandId" in json.loads(await first[1])


async def _line(process: forked.Process) -> bytes:
    assert process.stdout is not None
    return await process.stdout.readline()


async def test_watch_of_what_has_ended_says_so_and_leaves_as_it_ended(
    system: System,
) -> None:
    await (await system.worker()).ready()
    await system.publish(a_command("done"))
    await system.terminal(1)

    watched = await run(system, "watch", "done")

    assert (watched.code, watched.out) == (0, "")
    assert "done has ended already, completed" in watched.err


async def test_watch_of_an_id_that_nobody_knows_says_so(system: System) -> None:
    watched = await run(system, "watch", "nobody")

    assert (watched.code, watched.out) == (1, "")
    assert watched.err.startswith("jetworker: nobody is not known: ")


async def test_a_terminal_shows_bars_in_units_and_ends_with_a_sentence(
    system: System,
) -> None:
    await (await system.worker()).ready()
    folder = system.folder / "London"
    folder.mkdir()
    (folder / "known.mov").write_bytes(bytes(2_500_000))
    send = (*JETWORKER, "send", "archive", "--wait")
    wrong = (*send, "/wrong.mov", "--size", "10", "--id", "wrong")
    of_known = r"known .* [\d.]+ MB of 2\.5 MB .*in_progress"
    of_wrong = r"wrong .* [\d.]+ MB .*in_progress"

    known = await seen_going_on(
        system,
        (*send, "/known.mov", "--stat", str(folder), "--id", "known"),
        of_known,
    )
    unknown = await seen_going_on(
        system, (*send, "/a.mov", "--id", "unknown"), r"unknown .*in_progress"
    )
    system.jet.object_bytes = 2_250_000
    more = await seen_going_on(system, wrong, of_wrong)
    lines = await see((*wrong, "--json"), system.environ)
    system.jet.fault = refuse_starts
    bad = await see((*send, "/a.mov", "--id", "bad"), system.environ)

    assert [each.code for each in (known, unknown, more, lines, bad)] == [0, 0, 0, 0, 1]
    assert re.search(of_known, known.text)
    assert re.search(r"\nknown completed: 1 object, 2\.5 MB in [\d.]+ s\n$", known.text)
    assert " of " not in unknown.text
    assert "B of 10 bytes" not in more.text
    assert re.search(of_wrong, more.text)
    assert [json.loads(line)["state"] for line in lines.text.splitlines()] == [
        "completed"
    ]
    assert re.search(r"\nbad failed \(rejected_by_jet\): .*403.*\n$", bad.text)


async def seen_going_on(system: System, arguments: tuple[str, ...], shown: str) -> Seen:
    """See a command whose deliveries end when the terminal has shown this (a pattern)."""
    system.jet.seconds = 10.0

    def end_what_is_shown(text: str) -> None:
        if re.search(shown, text):
            for each in system.jet.deliveries.values():
                each.seconds = 0.0

    return await see(arguments, system.environ, drawn=end_what_is_shown)


async def test_the_jet_side_is_listed_created_paused_and_resumed(
    system: System,
) -> None:
    profiles = await run(system, "profiles", "list")
    made = await run(system, "jobs", "create", "new", "London", "p-paris")
    paused = await run(system, "jobs", "pause", "new")
    listed = await run(system, "jobs", "list")
    resumed = await run(system, "jobs", "resume", "job-archive")
    unknown = [
        await run(system, "jobs", "pause", "nowhere"),
        await run(system, "jobs", "create", "x", "London", "Nowhere"),
    ]

    good = (profiles, made, paused, listed, resumed)
    assert [each.code for each in good] == [0] * 5
    assert "p-london\tLondon" in profiles.out
    assert made.out.split("\t")[1:] == ["new", "active\n"]
    assert paused.out.strip().endswith("new\tpaused")
    header, *jobs = [line.split("\t") for line in listed.out.splitlines()]
    assert header == ["id", "name", "state"]
    assert {(name, state) for _, name, state in jobs} == {
        *(("archive", "active"), ("other", "active"), ("nightly", "active")),
        ("new", "paused"),
    }
    assert [each.code for each in unknown] == [1, 1]
    assert not any(each.out for each in unknown)
    assert "job 'nowhere': none is called so at Jet" in unknown[0].err


async def test_check_says_what_is_wrong_a_line_each(
    system: System, tmp_path: Path
) -> None:
    good = await run(system, "topics", "create")
    created = Path(tmp_path / "schemas")
    written = await run(system, "schemas", str(created))
    refused = await run(system, "schemas", str(created / "routes.v1.schema.json"))
    checked = await run(system, "check")

    assert good.code == 0
    assert good.out.count("exists already") == 4
    assert written.code == 0
    assert (created / "routes.v1.schema.json").exists()
    assert (refused.code, refused.out) == (1, "")
    assert checked.code == 78
    lines = dict(line.split(": ", 1) for line in checked.out.splitlines())
    assert [lines[each] for each in ("settings", "kafka", "token")] == ["ok"] * 3
    assert lines["topics"].startswith("ok, one broker alone has ")
    assert lines["route archive"] == "ok"
    assert lines["route gone"].startswith("job_id 'job-gone': Jet has no such job")
    assert lines["route unnamed"] != "ok"
    assert not checked.err


async def test_jobs_observe_measures_what_jet_shows_and_changes_nothing(
    system: System,
) -> None:
    await (await system.worker()).ready()
    names = [f"seen-{number}" for number in range(4)]
    await system.publish(
        *(
            a_command(
                each,
                objects=[{"relativePath": f"/show/{each}.mov", "sizeInBytes": 10}],
            )
            for each in names
        )
    )
    await system.terminal(len(names))
    await asyncio.sleep(2.5)  # they are older than settle then
    made = system.jet.count("start_delivery")

    told = await run(system, "jobs", "observe", "archive", "--json")
    table = await run(system, "jobs", "observe", "archive")
    unknown = await run(system, "jobs", "observe", "nowhere")

    seen = json.loads(told.out)
    assert (seen["listed"], seen["known"], seen["knownListed"]) == (4, 4, 4)
    assert seen["pathForms"] == ["file:///storage (raw)", "file:///storage (unescaped)"]
    assert seen["missing"] == ["few_known"]
    assert seen["listing"] == "supported by 4 known deliveries, none was missing"
    assert seen["exclusive"] == "supported: every delivery since our first is known"
    assert "listed\t4 of 4 known, 4 in all" in table.out
    assert "adopted by its files" in table.out
    assert unknown.code == 78
    assert system.jet.count("start_delivery") == made
