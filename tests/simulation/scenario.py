"""What happens in one run, all of it drawn from the seed."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextvars import Context
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

from jetworker.kafka import group
from jetworker.runtime import watchdog
from jetworker.wire import routes as wire_routes
from jetworker.worker import job_locks
from jetworker.worker.reconciliation.lessons import Lessons
from tests.simulation import acts, moves, traps
from tests.simulation.broker import BEGINNING
from tests.simulation.jet import FAIR, Weather
from tests.simulation.judge import is_over, judge, lag, records, told
from tests.simulation.judgement import Judgement
from tests.simulation.ledger import handed_over, started_again, waited_behind_an_adopt
from tests.simulation.loop import run
from tests.simulation.node import Node
from tests.simulation.past import EXCLUSIVE, STATED, draw
from tests.simulation.world import (
    GROUPS,
    SESSION,
    SETTLE,
    Settings,
    World,
    configure,
)

STORM = 15.0
CALM = 120.0
_AIMED = 0.25  # at one kind of call, in most runs
_FATES = ("before", "after", "after", "frozen", "late", "asleep", "asleep")
_LOST = 0.2  # of the runs end with the loss of the state
_RARELY = 0.05  # is a start lost beside the one that a past loses
_SLOW = 0.5  # of the starts, where the line is slow
_PAGES = 0.2  # of the answers, where there is a gateway
_PEACE = 0.1  # nothing is wrong there, but workers come and go
_ORDERS = 3  # one that was resent may be lost and held again
_STATEMENTS = {STATED: "stated", EXCLUSIVE: "exclusive"}
_TENDER = ("start", "commit", "commit an intent", "fence", "begin")


Fate: TypeAlias = Callable[[Node, str], str | None]


@dataclass(frozen=True)
class Run:
    """
    What came of one seed.

    *unknown* are the starts that were, by what is stated of their job, what it lists, and
    how they were settled: "adopted" or "started again" by themselves, or "by order".
    """

    seed: int
    judgement: Judgement
    happened: Counter[str]
    unknown: Counter[tuple[str, str, str]]
    trace: list[str]

    @property
    def wrong(self) -> list[str]:
        """What must not be."""
        return self.judgement.wrong


class Simulation:
    """Runs seeds, one after another; what is slow to make is made once."""

    def __init__(self, folder: Path) -> None:
        routes = folder / "routes.yaml"
        routes.write_text(moves.routes())
        self._settings = Settings(configure(routes))
        # Every process reads the same text, and reading YAML is slow.
        wire_routes.decode = cache(wire_routes.decode)
        # Who reads is woken by what comes: more often is only for what costs nothing.
        group._POLL_MS = 500  # noqa: SLF001
        watchdog._EVERY = 5.0  # noqa: SLF001
        # A life is too short for ten answers: several are in flight from the first on.
        job_locks.CALM_AFTER_ANSWERS = 0
        Lessons.tell = lambda *_: True  # type: ignore[method-assign]  # as above

    def run(self, seed: int) -> Run:
        """Run one seed; the same seed is the same run."""
        luck = Random(seed)
        random.seed(seed)  # the library that repeats our questions draws from it
        found: list[Run] = []

        async def main() -> None:
            world = World.make(
                self._settings, luck, seed, traps.draw(seed) or draw(seed)
            )
            try:
                await _live(world)
                judgement = judge(world)
                if luck.random() < _LOST:
                    await _lose_state(world, judgement)
                found.append(
                    Run(
                        seed,
                        judgement,
                        _happened(world),
                        _unknown(world),
                        _story(world),
                    )
                )
            finally:
                await world.end()

        run(main)
        return found[0]


def _happened(world: World) -> Counter[str]:
    """Count what a run is for: a simulation in which nothing happens shows nothing."""
    events = [event for each in told(world).values() for event in each]
    doubted = {e.command_id for e in events if e.kind == "delivery.uncertain"}
    ends = [each[-1] for each in told(world).values() if is_over(each[-1])]
    made = world.jet.deliveries
    again = started_again(world)
    return Counter(
        {
            "kills and freezes": world.struck,
            "commands accepted": len(told(world)),
            "commands repeated": len(world.repeated),
            "commands expired while they waited": sum(_is_expired(e) for e in ends),
            "runs in peace": int(world.is_peaceful),
            "groups renamed": int(world.group_id != GROUPS[0]),
            "offsets lost": world.forgotten,
            "topics grown": int(world.growth is not None),
            "records handed over": handed_over(world),
            "commands repeated after a growth": _repeated_after_growth(world),
            "starts beside others in flight": len(world.jet.in_flight.together),
            "starts unknown": len(doubted),
            "of these adopted": sum(bool(e.data["adopted"]) for e in ends),
            "of these started again": len(again),
            "of these resolved by the operator": world.resolved.total(),
            "of these where files are not shown": world.resolved["unfiled"],
            "orders seen behind an adopt": waited_behind_an_adopt(world),
            "deliveries of somebody else": sum(d.command_id is None for d in made),
            **_faults(world),
        }
    )


def _faults(world: World) -> dict[str, int]:
    """Count what only some seeds have."""
    line, gateway, late = world.jet.line, world.jet.gateway, world.broker.late
    moving = world.moves
    return {
        "starts that arrived after they were given up": line.late if line else 0,
        "starts cut off on their way": line.cut if line else 0,
        "answers by a clock that is not Jet's": gateway.answers if gateway else 0,
        "commands waiting as their route was moved": moving.waiting if moving else 0,
        "commands unknown as their route was moved": moving.unknown if moving else 0,
        "answers of a broker that is late": late.shown if late else 0,
    }


def _repeated_after_growth(world: World) -> int:
    return 0 if world.growth is None else world.growth.repeated


def _unknown(world: World) -> Counter[tuple[str, str, str]]:
    """Count the starts that were unknown, see `Run`."""
    again = {command_id for command_id, _ in started_again(world)}
    return Counter(
        (_STATEMENTS.get(job, "shared"), _listed(world, job), _how(world, each, again))
        for each, events in told(world).items()
        for job in {e.data["jobId"] for e in events if e.kind == "delivery.uncertain"}
    )


def _listed(world: World, job: str) -> str:
    past = world.past
    if past is None or past.job_id != job:
        return world.jet.listing[job]
    files = "" if past.is_filed else ", no files"
    return f"{past.listing}{files}, {'many' if past.known else 'none'} known"


def _how(world: World, command_id: str, again: set[str]) -> str:
    if command_id in world.ordered:
        return "by order"
    return "started again" if command_id in again else "adopted"


def _is_expired(event: Any) -> bool:
    return bool((event.data.get("reason") or {}).get("code") == "expired")


def _story(world: World) -> list[str]:
    """Return what happened, in order of time."""
    lines = list(world.trace)
    for post in world.jet.posts:
        what = f"{post.node} posts {post.command_id}: {post.answer}"
        lines.append(f"{post.at:8.3f} {what}")
    for made in world.jet.deliveries:
        what = f"Jet makes {made.delivery_id} for {made.command_id}"
        lines.append(f"{made.created_at:8.3f} {what}, shown at {made.shown_at:.3f}")
    for record in records(world, world.settings.config.topics.events):
        event = record.event
        at = record.timestamp / 1000 - BEGINNING
        code = (event.data.get("reason") or {}).get("code", "")
        number = event.data.get("sequence", "")
        what = f"{event.kind} {event.command_id} {number} {code}"
        lines.append(f"{at:8.3f} {what}")
    return sorted(lines, key=lambda line: float(line.split()[0]))


async def _live(world: World) -> None:
    """A storm in which anything may happen, then a calm in which all must end."""
    world.is_peaceful = world.luck.random() < _PEACE and not world.is_trap
    _draw_weather(world)
    if world.is_peaceful:
        world.broker.late = None  # who is told of fewer partitions begins anew
    fate = _fate(world)
    for _ in range(1 if world.is_trap else world.luck.randint(1, 3)):
        world.spawn(fate)
    replacing = asyncio.create_task(acts.replace(world, fate))
    testifying = asyncio.create_task(acts.testify(world))
    await asyncio.gather(*_happening(world, fate))
    await asyncio.sleep(max(0.0, STORM - asyncio.get_running_loop().time()))
    await _calm(world, testifying)
    replacing.cancel()


def _draw_weather(world: World) -> None:
    luck = world.luck
    if world.is_trap and world.past is not None:
        world.jet.weather = Weather(lost_start=world.past.lost)
        return
    bad = 0.0 if world.is_peaceful else luck.uniform(0.4, 1.0)
    lost = luck.choice((0.0, 0.1, 0.3, 0.5))
    world.jet.weather = Weather(
        lost=(lost if world.past is None else _RARELY) * bad,
        late=luck.choice((0.0, 0.1, 0.3)) * bad,
        refused=luck.choice((0.0, 0.2)) * bad,
        unreadable=luck.choice((0.0, 0.1, 0.3)) * bad,
        slack=SETTLE * 0.8,
        lost_start=world.past.lost if world.past is not None and bad else None,
        slow=_SLOW * bad,
        pages=_PAGES * bad,
    )
    world.trouble = luck.choice((0.0, 0.0, 0.02)) * bad


def _fate(world: World) -> Fate:
    """Return who is struck when; most runs aim at one kind of call."""
    luck = world.luck
    budget = 0 if world.is_peaceful or world.is_trap else luck.randint(0, 6)
    rate = luck.choice((0.002, 0.02))
    chances = dict.fromkeys(_TENDER, 8 * rate)
    target = luck.choice(("", "start", *_TENDER))
    if target:
        rate, chances = 0.0, {target: _AIMED}

    def fate(node: Node, label: str) -> str | None:
        is_over = world.is_calm or world.struck >= budget
        if is_over or luck.random() >= chances.get(label, rate):
            return None
        world.struck += 1
        when = luck.choice(_FATES)
        if when in {"frozen", "asleep"}:
            seconds = luck.choice(acts.FREEZES)
            loop = asyncio.get_running_loop()
            node.thaws_at = loop.time() + seconds
            loop.call_later(seconds, node.thaw, context=Context())
        world.say(f"{node.name} at {label}: {when}")
        return when

    return fate


def _happening(world: World, fate: Fate) -> list[Awaitable[None]]:
    if world.is_trap:  # chance would spoil it
        return [acts.spring(world)]
    happening: list[Awaitable[None]] = [
        acts.publish(world),
        acts.repeat(world),
        acts.pause(world),
        acts.visit(world),
        acts.mislead(world),
    ]
    if not world.is_peaceful:
        happening.append(acts.freeze(world))
    if world.is_peaceful or world.luck.random() < 0.4:
        happening.append(acts.restart(world, fate))
    if world.luck.random() < 0.3:
        happening.append(acts.scale(world, fate))
    if not world.is_peaceful and world.luck.random() < 0.3:
        happening.append(acts.rename(world, fate))
    if not world.is_peaceful and world.luck.random() < 0.3:
        happening.append(acts.forget_offsets(world, fate))
    if world.crowd:
        happening.append(acts.crowd(world))
    if world.growth is not None:
        happening.append(acts.grow(world, world.growth))
        late = world.broker.late
        if late is not None and not world.is_peaceful:
            happening.append(acts.overlook(world, world.growth, late))
    if world.moves is not None:
        happening.append(acts.move(world, world.moves))
        if not world.is_peaceful:
            happening.append(acts.strand(world, world.moves))
            happening.append(acts.divert(world, world.moves))
    return happening


async def _calm(world: World, testifying: Awaitable[None]) -> None:
    world.calm()
    world.jet.weather = FAIR
    world.jet.paused.clear()
    for node in world.nodes:
        node.thaw()
    world.say("calm")
    acts.again(world)
    await testifying
    await _until(lambda: lag(world) == 0 and _is_quiet(world))
    for _ in range(_ORDERS):
        is_held = _resolve(world)
        await asyncio.sleep(SESSION)
        await _until(lambda: lag(world) == 0 and _is_quiet(world))
        if not is_held:
            break
    await _until(lambda: lag(world) == 0 and _is_done(world))
    await asyncio.sleep(SESSION)


async def _until(claim: Callable[[], bool]) -> None:
    """Look once a second: the calm is long, and looking reads every topic."""
    end = asyncio.get_running_loop().time() + CALM
    while not claim() and asyncio.get_running_loop().time() < end:  # noqa: ASYNC110 -- it is a state of the world, nobody's event
        await asyncio.sleep(1.0)


async def _lose_state(world: World, judgement: Judgement) -> None:
    """Lose what is known, and ask for all of it again: nothing is started any more."""
    world.say("the state is lost")
    for node in world.nodes:
        node.kill()
    world.broker.empty(world.settings.config.topics.state)
    for command in world.commands:
        world.publish(command)
    await asyncio.sleep(SESSION * 2)
    world.spawn(lambda _node, _label: None)
    await asyncio.sleep(SESSION * 3)
    for command in world.commands:
        made = world.jet.of(command["commandId"])
        about = f"{command['commandId']}: {[each.delivery_id for each in made]}"
        judgement.check("what is lost is not begun anew", len(made) <= 1, about)


def _is_done(world: World) -> bool:
    of = told(world)
    return world.sent <= of.keys() and all(is_over(each[-1]) for each in of.values())


def _is_quiet(world: World) -> bool:
    """Everything is over, or held with nothing at Jet that it could be."""
    of = told(world)
    return world.sent <= of.keys() and all(
        is_over(events[-1]) or _is_held(events[-1]) for command_id, events in of.items()
    )


def _is_held(last: Any) -> bool:
    """Whether it waits for an operator."""
    return bool((last.data.get("reason") or {}).get("code") == "held")


def _resolve(world: World) -> bool:
    """
    Be the operator, who looks at Jet: adopt what is there, resend what is not.

    Returns whether anything was held.
    """
    last = {command_id: events[-1] for command_id, events in told(world).items()}
    held = {command_id: each for command_id, each in last.items() if _is_held(each)}
    for command_id, event in held.items():
        order = {"type": "resolve", "commandId": command_id, "action": "resend"}
        made = world.jet.of(command_id)
        if made:
            order |= {"action": "adopt", "deliveryId": made[0].delivery_id}
        world.say(f"{command_id} is held, the operator says: {order['action']}")
        number = world.resolved.total()
        world.ordered.add(command_id)
        world.resolved[world.jet.listing[event.data["jobId"]]] += 1
        if number % 3:
            _mistake(world, command_id)
        where = world.publish(order)
        if world.growth is not None:
            world.growth.orders.add(where)
        if number % 3 == 1:
            world.publish({"type": "cancel", "commandId": command_id})
        if number % 3 == 2:
            world.publish(order | {"action": "abandon", "deliveryId": None})
    return bool(held)


def _mistake(world: World, command_id: str) -> None:
    """Say adopt of what is another command's, or of nothing: what follows waits."""
    bound = sorted(
        each[-1].data["deliveryId"]
        for other, each in told(world).items()
        if other != command_id and each[-1].data.get("deliveryId")
    )
    wrong = bound[0] if bound else "nobody"
    order = {"type": "resolve", "commandId": command_id, "action": "adopt"}
    world.publish(order | {"deliveryId": wrong})


def simulation() -> "TemporaryDirectory[str]":
    """Return a folder for the routes file of a simulation."""
    return TemporaryDirectory(prefix="simulation-")
