"""
The start protocol as an explicit-state model: every interleaving, one command.

Two workers, of which each may be the owner; the first may freeze and come back as a
zombie. A start travels: it may be lost before it is applied, applied at once, or applied
late but within the settle time; its answer may be lost. Kafka is what the design says:
the intent is durable, and only the latest owner commits. The search is exhaustive.

The protocol as it is never makes two deliveries. Each weakened variant does: what is
taken away is shown to be needed.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, TypeAlias

import pytest


@dataclass(frozen=True)
class Protocol:
    """The parts of the protocol; a variant leaves one away."""

    writes_intent_first: bool = True
    checks_lease: bool = True
    settles: bool = True
    wants_witness: bool = True
    sends_once: bool = True
    fences: bool = True
    attempts: int = 2


@dataclass(frozen=True)
class Worker:
    """
    What one worker believes: *step* of idle, written, checked, sent, looking.

    *stale*: its lease is over (it was frozen, or another owner has opened).
    """

    step: str = "idle"
    alive: bool = True
    stale: bool = False


@dataclass(frozen=True)
class World:
    """
    Everything: *durable* is what the state topic says (none, intent, started).

    *flying* counts starts that Jet has yet to apply, *made* deliveries; *witness* is
    whether a listing can be believed.
    """

    workers: tuple[Worker, Worker] = (Worker(), Worker())
    owner: int = 0
    durable: str = "none"
    attempt: int = 0
    flying: int = 0
    made: int = 0
    witness: bool = True


Now: TypeAlias = Callable[..., World]


def successors(world: World, protocol: Protocol) -> Iterator[World]:
    """Yield every world that one step leads to."""
    yield from of_jet(world)
    for number, worker in enumerate(world.workers):
        if worker.alive:
            yield from of_worker(world, number, worker, protocol)
    if world.owner == 0:
        yield take_over(world, protocol)


def of_jet(world: World) -> Iterator[World]:
    """Jet applies what flies, whenever it likes, or never; listings come and go."""
    if world.flying:
        yield replace(world, flying=world.flying - 1, made=world.made + 1)
        yield replace(world, flying=world.flying - 1)
    yield replace(world, witness=not world.witness)


def take_over(world: World, protocol: Protocol) -> World:
    """The first worker is frozen or dead; the second opens the partition."""
    first, second = world.workers
    step = "looking" if world.durable == "intent" else "idle"
    if not protocol.fences:
        first = replace(first, stale=False)
    else:
        first = replace(first, stale=True)
    return replace(world, owner=1, workers=(first, replace(second, step=step)))


def of_worker(
    world: World, number: int, worker: Worker, protocol: Protocol
) -> Iterator[World]:
    """Let a worker do its next thing, or die."""

    def now(changed: Worker, **facts: Any) -> World:
        first, second = world.workers
        workers = (first, changed) if number else (changed, second)
        return replace(world, workers=workers, **facts)

    may_commit = number == world.owner or not protocol.fences
    yield now(replace(worker, alive=False))
    match worker.step:
        case "idle" if number == world.owner and world.durable == "none":
            if protocol.writes_intent_first:
                facts = {"durable": "intent", "attempt": world.attempt + 1}
                yield now(replace(worker, step="written"), **facts)
            else:
                yield now(replace(worker, step="checked"), attempt=world.attempt + 1)
        case "written":
            if not (protocol.checks_lease and worker.stale):
                yield now(replace(worker, step="checked"))
        case "checked":
            # Between check and send nothing is awaited: a lease that is over here is
            # one that was over at the check, unless the check is not made at all.
            if not (protocol.checks_lease and worker.stale):
                yield now(replace(worker, step="sent"), flying=world.flying + 1)
        case "sent":
            yield from answered(world, worker, now, protocol, may_commit=may_commit)
        case "looking" if number == world.owner:
            yield from looked_up(world, worker, now, protocol)
        case _:
            return


def answered(
    world: World, worker: Worker, now: Now, protocol: Protocol, *, may_commit: bool
) -> Iterator[World]:
    """The answer comes, or is lost; a blind retry would send again."""
    if world.made and may_commit:
        yield now(replace(worker, step="done"), durable="started")
    if not protocol.sends_once and world.flying + world.made < 3:
        yield now(worker, flying=world.flying + 1)
    if may_commit:
        yield now(replace(worker, step="looking"), durable="intent")


def looked_up(
    world: World, worker: Worker, now: Now, protocol: Protocol
) -> Iterator[World]:
    """Adopt what is there; start again only after the settle time, by a witness."""
    # No waiting sees a start that a zombie has yet to send: its lease is there for that.
    if protocol.settles and world.flying:
        return
    visible = world.made and world.witness
    if visible:
        yield now(replace(worker, step="done"), durable="started")
    believed = world.witness or not protocol.wants_witness
    if not visible and believed and world.attempt < protocol.attempts:
        facts = {"durable": "intent", "attempt": world.attempt + 1}
        yield now(replace(worker, step="written"), **facts)


def explore(protocol: Protocol) -> tuple[int, int]:
    """Return the number of worlds, and the most deliveries that any of them has."""
    first = World()
    seen, waiting = {first}, deque([first])
    most = 0
    while waiting:
        world = waiting.popleft()
        most = max(most, world.made)
        if most > 2:
            break
        for after in successors(world, protocol):
            if after not in seen and after.made <= 2:
                seen.add(after)
                waiting.append(after)
    return len(seen), most


def test_the_protocol_makes_at_most_one_delivery_in_every_world() -> None:
    worlds, most = explore(Protocol())

    assert worlds > 300
    assert most == 1


def test_never_sending_again_makes_at_most_one_delivery_too() -> None:
    assert explore(Protocol(attempts=1))[1] == 1


@pytest.mark.parametrize(
    "part", [each.name for each in fields(Protocol) if each.name != "attempts"]
)
def test_without_any_one_part_there_can_be_two(part: str) -> None:
    assert explore(replace(Protocol(), **{part: False}))[1] >= 2
