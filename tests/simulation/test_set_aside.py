"""
A defect of ours, planted in every place: one command is set aside, nobody else notices.

A whole worker in a simulated world: a hundred commands, and one more for each place, which
our code fails on there; then a successor that meets what the first one left.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest
from structlog.testing import capture_logs

from jetworker.wire import commands, snapshots
from jetworker.wire.events import Envelope, ReadEvent, read
from jetworker.worker import deliveries, intake
from jetworker.worker.following.poll import StatusPoll
from jetworker.worker.job_locks import JobLocks
from jetworker.worker.reconciliation import reconciler
from jetworker.worker.reconciliation.job_views import JobViews
from jetworker.worker.starts.sender import StartSender
from jetworker.worker.starts.starter import Starter
from tests.simulation.judge import lag, records
from tests.simulation.loop import run
from tests.simulation.moves import routes as routes_text
from tests.simulation.past import STATED
from tests.simulation.reply import Reply
from tests.simulation.world import SETTLE, Settings, World, configure

SECRET = "/show/unreleased.mov"
NEIGHBOURS = frozenset(f"n{number}" for number in range(100))
PATIENCE = 300.0  # of the simulated world
SEEN_BY_NOBODY = "job-2"

Names = Callable[..., bool]
REJECTED, FAILED, HELD = "command.rejected", "delivery.failed", "delivery.uncertain"
DONE = "delivery.completed"
INTERNAL = "internal_error"


@dataclass(frozen=True)
class Place:
    """
    Where our code fails: *where* in *owner*, if *names* says that a call is about *bad*.

    *said* is the last that is told of *bad*, *code* its reason, *made* how many
    deliveries Jet has of it. *is_lost*: the answer to its start never arrives.
    *is_after*: it fails when all is done.
    """

    bad: str
    owner: Any
    where: str
    names: Names
    said: str
    code: str | None
    made: int
    is_after: bool = False
    is_lost: bool = False
    job: str = STATED


def named(bad: str) -> Names:
    """Whether a call is about it: by its id, or by what it carries."""
    return lambda *found, **_: any(
        f"{quote}{bad}{quote}" in repr(each) for each in found for quote in "'\""
    )


def asked(bad: str) -> Names:
    """Whether a call has the objects that it asks for."""
    return lambda *found, **_: f"/{bad}/" in repr(found)


def event(bad: str, kind: str) -> Names:
    return lambda _, told, *__: named(bad)(told) and told.type.value == kind


def trigger(bad: str, kind: str) -> Names:
    return lambda delivery, found, *_: (
        named(bad)(delivery) and type(found).__name__ == kind
    )


PLACES = (
    Place("b-decode", commands, "decode", named("b-decode"), REJECTED, INTERNAL, 0),
    Place("b-admit", intake, "admit", named("b-admit"), REJECTED, INTERNAL, 0),
    Place("b-mute", Envelope, "event", named("b-mute"), REJECTED, INTERNAL, 0),
    Place("b-queue", Starter, "take", named("b-queue"), FAILED, INTERNAL, 0),
    Place(
        "b-begun",
        deliveries,
        "transition",
        trigger("b-begun", "Begun"),
        FAILED,
        INTERNAL,
        0,
    ),
    Place(
        "b-answered",
        deliveries,
        "transition",
        trigger("b-answered", "StartConfirmed"),
        DONE,
        None,
        1,
    ),
    Place(
        "b-started",
        Envelope,
        "event",
        event("b-started", "delivery.started"),
        HELD,
        "held",
        1,
    ),
    Place(
        "b-progress",
        Envelope,
        "event",
        event("b-progress", "transfer.completed"),
        HELD,
        "held",
        1,
    ),
    Place("b-sent", StartSender, "send", asked("b-sent"), DONE, None, 1, is_after=True),
    Place("b-poll", StatusPoll, "ask", named("b-poll"), HELD, "held", 1),
    Place(
        "b-lost",
        reconciler,
        "decide",
        lambda ours, *_: ours.command_id == "b-lost",
        HELD,
        "held",
        1,
        is_lost=True,
    ),
    Place("b-noted", JobLocks, "hold", named("b-noted"), DONE, None, 1, is_lost=True),
    Place(
        "b-looked",
        JobViews,
        "of",
        lambda _, job_id, *__: job_id == SEEN_BY_NOBODY,
        HELD,
        "held",
        1,
        is_lost=True,
        job=SEEN_BY_NOBODY,
    ),
    Place(
        "b-newest", snapshots, "decode", named("b-newest"), DONE, None, 1, job="job-1"
    ),
    Place(
        "b-kept",
        snapshots,
        "brief",
        named("b-kept"),
        REJECTED,
        INTERNAL,
        1,
        job="job-1",
    ),
)


def plant(place: Place, patch: pytest.MonkeyPatch) -> None:
    """Let our code fail, and say what no log line may repeat."""
    right = getattr(place.owner, place.where)

    def wrong(*found: Any, **named: Any) -> Any:
        if place.names(*found):
            raise RuntimeError(SECRET)
        return right(*found, **named)

    async def wrong_after(*found: Any, **named: Any) -> Any:
        answer = await right(*found, **named)
        if place.names(*found):
            raise RuntimeError(SECRET)
        return answer

    patch.setattr(place.owner, place.where, wrong_after if place.is_after else wrong)


def lose_answers(world: World, patch: pytest.MonkeyPatch) -> None:
    """Let the answers to the starts that are to be lost never arrive."""
    right = world.jet.handle
    lost = [each.bad for each in PLACES if each.is_lost]

    def handle(
        node: str,
        method: str,
        path: str,
        body: bytes,
        token: str,
        *,
        is_slow: bool = False,
    ) -> Reply:
        reply = right(node, method, path, body, token, is_slow=is_slow)
        is_lost = reply.status == 200 and any(asked(bad)(body) for bad in lost)
        return Reply(0, is_lost=True) if is_lost else reply

    patch.setattr(world.jet, "handle", handle)


def a_command(name: str, job: str = STATED) -> dict[str, Any]:
    return {
        "commandId": name,
        "route": f"to-{job}",
        "objects": [{"relativePath": f"/{name}/a.mov", "sizeInBytes": 100}],
    }


def all_of(world: World) -> list[ReadEvent]:
    return [read(each) for each in records(world, world.settings.config.topics.events)]


def is_over(event: ReadEvent) -> bool:
    return event.kind in {DONE, FAILED}


@dataclass
class Seen:
    """What is left of a world in which our code failed in every place."""

    events: list[ReadEvent] = field(default_factory=list)
    made: list[str | None] = field(default_factory=list)
    where: dict[str, tuple[int, int]] = field(default_factory=dict)
    logged: list[Any] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    kept: list[bytes] = field(default_factory=list)

    def last_of(self, bad: str) -> ReadEvent:
        """Return the last that was told of a command, or of its record."""

        def is_its(event: ReadEvent) -> bool:
            origin = event.data.get("partition"), event.data.get("offset")
            return event.command_id == bad or origin == self.where[bad]

        return [each for each in self.events if is_its(each)][-1]


async def until(world: World, *names: str) -> None:
    """Wait until commands have ended and no record is unanswered."""
    end = asyncio.get_running_loop().time() + PATIENCE
    while True:
        await asyncio.sleep(2.0)
        ended = {each.command_id for each in all_of(world) if is_over(each)}
        missing = set(names) - ended
        if not missing and lag(world) == 0:
            return
        assert asyncio.get_running_loop().time() < end, missing


def kept_of(world: World, name: str) -> bytes:
    topic = world.settings.config.topics.state
    found = [each for each in records(world, topic) if each.key == name.encode()]
    return found[-1].value or b""


async def live(world: World, seen: Seen) -> None:
    """Let a worker take all commands, then a successor one more."""
    first = world.spawn(lambda _node, _label: None)
    many = [a_command(name) for name in sorted(NEIGHBOURS)]
    bad = [a_command(each.bad, each.job) for each in PLACES]
    for command in [*many[:50], *bad, *many[50:]]:
        seen.where[command["commandId"]] = world.publish(command)
    await until(world, *NEIGHBOURS)
    await asyncio.sleep(3 * SETTLE + 10.0)  # what is unknown is held in time
    seen.kept.append(kept_of(world, "b-kept"))
    first.kill()
    world.spawn(lambda _node, _label: None)
    world.publish(a_command("b-kept", "job-1"))
    world.publish(a_command("after"))
    await until(world, "after")
    seen.kept.append(kept_of(world, "b-kept"))
    seen.events = all_of(world)
    seen.made = [each.command_id for each in world.jet.deliveries]
    seen.broken = world.broken


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    routes: Path = tmp_path_factory.mktemp("world") / "routes.yaml"
    routes.write_text(routes_text())
    seen = Seen()

    async def main() -> None:
        world = World.make(Settings(configure(routes)), Random(3))
        world.is_peaceful = True
        try:
            with pytest.MonkeyPatch.context() as patch, capture_logs() as seen.logged:
                for place in PLACES:
                    plant(place, patch)
                lose_answers(world, patch)
                await live(world, seen)
        finally:
            await world.end()

    run(main)
    return seen


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.bad)
def test_what_our_code_fails_on_is_set_aside(place: Place, seen: Seen) -> None:
    last = seen.last_of(place.bad)

    code = (last.data.get("reason") or {}).get("code")
    if place.said == DONE and last.kind == FAILED:
        assert code == "objects_failed"  # Jet's own word, by chance
    else:
        assert (last.kind, code) == (place.said, place.code)
    assert seen.made.count(place.bad) == place.made


def test_all_others_are_done_once_and_the_successor_lives(seen: Seen) -> None:
    others = NEIGHBOURS | {"after"}
    ended = {each.command_id for each in seen.events if is_over(each)}

    assert others <= ended
    assert {name: seen.made.count(name) for name in others} == dict.fromkeys(others, 1)
    assert seen.broken == []


def test_a_snapshot_that_cannot_be_used_stays_byte_for_byte(seen: Seen) -> None:
    before, after = seen.kept

    assert before == after != b""


def test_a_line_tells_of_each_and_repeats_nothing_of_its_content(seen: Seen) -> None:
    lines = [each for each in seen.logged if each.get("error") == "RuntimeError"]

    assert len(lines) >= len(PLACES)
    assert {each["log_level"] for each in lines} == {"error"}
    assert all(each["trace"] for each in lines)
    assert SECRET not in repr(seen.logged)
