"""What may happen in a storm, each drawn from the seed."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import Any

from aiokafka import TopicPartition

from tests.simulation.documents import now
from tests.simulation.growth import Growth
from tests.simulation.jet import JOBS
from tests.simulation.judge import told
from tests.simulation.late import LateBroker
from tests.simulation.moves import LONELY, Moves
from tests.simulation.node import Node
from tests.simulation.past import EXCLUSIVE, STATED
from tests.simulation.world import GROUPS, PARTITIONS, SESSION, SETTLE, World

_LATEST = 15.0
_WAITING = {"delivery.accepted", "delivery.waiting"}
_UNKNOWN = {"delivery.uncertain"}
FREEZES = (0.5, SESSION - 0.5, SESSION + 3.0, SESSION + 2 * SETTLE)


def _command(luck: Random, number: int, jobs: tuple[str, ...]) -> dict[str, Any]:
    objects = [
        {"relativePath": f"/c{number}/{n}.mov", "sizeInBytes": 100 * number}
        for n in range(luck.randint(1, 2))
    ]
    command: dict[str, Any] = {
        "type": "send",
        "commandId": f"c{number}",
        "route": f"to-{luck.choice(jobs)}",
        "objects": objects,
    }
    if luck.random() < 0.1:
        ends = now() + timedelta(seconds=luck.uniform(1.0, 8.0))
        command["expiresAt"] = ends.isoformat()
    return command


async def publish(world: World) -> None:
    """Publish commands: some twice, some wrong, some taken back."""
    luck = world.luck
    sent = world.commands
    # The fewer, the more rivals; and one of which everything is stated.
    jobs = luck.choice((JOBS, JOBS[:1], (STATED,)))
    if world.past is not None:
        jobs = (world.past.job_id,)
    for number in range(1, luck.randint(3, 9)):
        await asyncio.sleep(luck.choice((0.0, 0.01, 0.5, 2.0, 3.0)))
        command = _command(luck, number, jobs)
        sent.append(command)
        world.publish(command)
        dice = luck.random()
        if dice < 0.15:
            world.publish(luck.choice(sent))
        elif dice < 0.2:
            world.publish(b"not a command", luck.choice((None, -1, 2**62)))
        elif dice < 0.25:
            world.publish({"type": "cancel", "commandId": f"c{number}"})


def again(world: World) -> None:
    """Publish a command again, as it was or with other contents, or take it back."""
    if not world.commands:
        return
    command = world.luck.choice(world.commands)
    dice = world.luck.random()
    expected = "command.duplicate"
    # Where the topics have grown, one that comes again may be read before the first: then
    # it is unknown, and other contents would be the ones that are accepted.
    is_known = world.growth is None or world.is_known(command["commandId"])
    if dice < 0.1 and is_known:
        command = command | {"metadata": {"other": "contents"}}
        expected = "command.rejected"
    elif 0.1 <= dice < 0.2:
        command = {"type": "cancel", "commandId": command["commandId"]}
    where = world.publish(command)
    if not is_known or "expiresAt" in command:
        return
    if "route" in command:
        world.repeated[where] = expected
    if world.growth is not None and world.growth.is_over:
        world.growth.repeated += 1
        if "route" not in command:
            world.growth.orders.add(where)


async def crowd(world: World) -> None:
    """Publish commands together, so that their starts are in flight at once."""
    await asyncio.sleep(1.0)
    for command in world.crowd:
        world.commands.append(command)
        world.publish(command)


async def spring(world: World) -> None:
    """Publish a command whose start is lost, and what testifies for it in time."""
    past = world.past
    assert past is not None
    luck = past.luck
    numbers = (1, *range(101, 106))
    for number, wait in zip(numbers, (1.0, 9.0, *[2.7] * 4), strict=True):
        await asyncio.sleep(wait + luck.uniform(0.0, 0.1))
        command = _command(luck, number, (past.job_id,))
        command.pop("expiresAt", None)
        _publish_two(world, command)


def _publish_two(world: World, command: dict[str, Any]) -> None:
    """Publish a command of two objects: Jet shows such a one in a state that waits (2.6)."""
    first = command["objects"][0]
    second = first | {"relativePath": f"/{command['commandId']}/1.mov"}
    command["objects"] = [first, second]
    world.commands.append(command)
    world.publish(command)


async def testify(world: World) -> None:
    """
    Publish more on a job with a past: what is started after a doubt testifies for it.

    That may be started when the window of the lost start is over, and the lost one is
    held some seconds later.
    """
    past = world.past
    if past is None or world.is_trap:
        return
    await asyncio.sleep(past.luck.uniform(9.0, 13.0))
    for number in range(101, 105):
        await asyncio.sleep(past.luck.uniform(0.5, 3.0))
        _publish_two(world, _command(past.luck, number, (past.job_id,)))


async def repeat(world: World) -> None:
    """Publish again what may have ended long ago, under whoever owns it by then."""
    luck = world.luck
    for _ in range(luck.choice((0, 2, 4))):
        await asyncio.sleep(luck.uniform(0.5, 6.0))
        again(world)


async def replace(world: World, fate: Callable[[Node, str], str | None]) -> None:
    """Start a process for each that was killed, as Kubernetes does."""
    replaced: set[str] = set()
    while True:
        await asyncio.sleep(0.5)
        fallen = [n for n in world.nodes if n.is_dead and n.name not in replaced]
        for node in fallen:
            replaced.add(node.name)
            if not world.stops[node.name].is_set() or not world.living():
                await asyncio.sleep(world.luck.choice((0.0, 1.0, 4.0)))
                world.spawn(fate)


async def freeze(world: World) -> None:
    """Stop a process for less or more than its session, and let it go on."""
    luck = world.luck
    for _ in range(luck.choice((0, 0, 1, 2))):
        await asyncio.sleep(luck.uniform(0.5, 5.0))
        living = world.living()
        if living:
            node = luck.choice(living)
            world.say(f"{node.name} is frozen")
            node.freeze()
            await asyncio.sleep(luck.choice(FREEZES))
            world.say(f"{node.name} is thawed")
            node.thaw()


async def restart(world: World, fate: Callable[[Node, str], str | None]) -> None:
    """SIGTERM to one worker, and another in its place."""
    await asyncio.sleep(world.luck.uniform(2.0, 8.0))
    living = world.living()
    if living:
        node = world.luck.choice(living)
        again(world)
        world.say(f"{node.name} is told to stop")
        world.stops[node.name].set()
        world.spawn(fate)


async def scale(world: World, fate: Callable[[Node, str], str | None]) -> None:
    """One worker more, and soon one fewer."""
    for _ in range(3):
        await asyncio.sleep(world.luck.uniform(0.5, 3.0))
        world.say("one more")
        world.spawn(fate)
        again(world)
        await asyncio.sleep(world.luck.uniform(0.5, 3.0))
        living = world.living()
        if living:
            again(world)
            world.say(f"{living[0].name} is told to stop")
            world.stops[living[0].name].set()


async def rename(world: World, fate: Callable[[Node, str], str | None]) -> None:
    """Change the group: for a while both are there, then the former leaves."""
    await asyncio.sleep(world.luck.uniform(2.0, 8.0))
    former = world.living()
    world.group_id = GROUPS[1]
    world.say("the group is renamed")
    world.spawn(fate)
    again(world)
    await asyncio.sleep(world.luck.uniform(0.0, 3.0))
    for node in former:
        world.stops[node.name].set()


async def forget_offsets(world: World, fate: Callable[[Node, str], str | None]) -> None:
    """Lose the offsets of every group, then let all workers be followed by others."""
    await asyncio.sleep(world.luck.uniform(2.0, 10.0))
    world.forgotten += 1
    world.say("the offsets are gone")
    world.broker.groups.clear()
    for node in world.living():
        world.stops[node.name].set()
    world.spawn(fate)


async def grow(world: World, growth: Growth) -> None:
    """Give the topics more partitions while records wait in the old ones."""
    topics, broker, luck = world.settings.config.topics, world.broker, growth.luck
    await asyncio.sleep(luck.uniform(0.0, 9.0))
    # Nobody can know of a growth that was over before anybody served the topics.
    while not world.is_served():  # noqa: ASYNC110 -- it is a state of the world, nobody's event
        await asyncio.sleep(0.1)
    backlog = [_command(luck, 100 + n, JOBS) for n in range(luck.choice((0, 2, 4)))]
    for command in backlog:
        world.commands.append(command)
        world.publish(command)
    await growth.pause(1.0)
    more = luck.randint(PARTITIONS + 1, PARTITIONS + 3)
    growing = [topics.commands, topics.state, topics.events]
    luck.shuffle(growing)
    for topic in growing:
        world.say(f"{topic} has {more} partitions")
        broker.grow(topic, more)
        if topic == topics.commands:
            growth.by.append(more)
        await growth.pause(2.0)
    for command in luck.sample(backlog, len(backlog)):
        world.publish(command)
    growth.is_over = True
    # They ask for the topics now and then.
    await growth.pause(4.0)
    for group in world.groups.values():
        group.grow([TopicPartition(topics.commands, n) for n in range(more)])
    for _ in range(4):
        again(world)
        await growth.pause(2.0)
    growth.by = [more]


async def move(world: World, moves: Moves) -> None:
    """Let routes lead to another job, while commands wait on them or are unknown."""
    luck = moves.luck
    for _ in range(luck.randint(1, 3)):
        kinds = luck.choice((_WAITING, _UNKNOWN))
        found = await _meet(world, kinds, luck.uniform(0.5, 6.0))
        some = found or sorted(moves.leads)
        job = moves.leads[luck.choice(some)]
        _note_move(world, moves, moves.move(job))
        await asyncio.sleep(luck.uniform(0.5, 4.0))


async def strand(world: World, moves: Moves) -> None:
    """Lose the only start on a job, and let its route lead to one that says more."""
    luck = moves.luck
    await asyncio.sleep(luck.uniform(0.0, 5.0))
    world.jet.doomed.add(LONELY)
    command = _command(luck, 301, (LONELY,))
    command.pop("expiresAt", None)
    world.commands.append(command)
    world.publish(command)
    while command["route"] not in await _meet(world, _UNKNOWN, 1.0):
        if asyncio.get_running_loop().time() > _LATEST:
            return
        await asyncio.sleep(0.2)
    moves.lead([command["route"]], STATED)
    _note_move(world, moves, [command["route"]])


async def divert(world: World, moves: Moves) -> None:
    """Let starts be held back, and their routes lead elsewhere before they may go."""
    luck = moves.luck
    await asyncio.sleep(luck.uniform(0.0, 8.0))
    job = luck.choice(sorted({*moves.leads.values()} - {LONELY, EXCLUSIVE}))
    routes = [route for route, leads in moves.leads.items() if leads == job]
    world.jet.busy.add(job)
    for number in range(311, 315):
        command = _command(luck, number, (job,)) | {"route": luck.choice(routes)}
        command.pop("expiresAt", None)
        world.commands.append(command)
        world.publish(command)
    now = asyncio.get_running_loop().time
    while job in world.jet.busy and now() < _LATEST:  # noqa: ASYNC110 -- it is a state of the world, nobody's event
        await asyncio.sleep(0.05)
    _note_move(world, moves, moves.move(job))


def _note_move(world: World, moves: Moves, moved: list[str]) -> None:
    if not moved:  # another one was faster
        return
    world.say(f"{moved} lead to {moves.leads[moved[0]]}")
    moves.waiting += sum(each in moved for each in _routes_with(world, _WAITING))
    moves.unknown += sum(each in moved for each in _routes_with(world, _UNKNOWN))


async def _meet(world: World, kinds: set[str], most: float) -> list[str]:
    """Wait for commands of which such was told last, not too long; return their routes."""
    end = asyncio.get_running_loop().time() + most
    while asyncio.get_running_loop().time() < end:
        found = _routes_with(world, kinds)
        if found:
            return found
        await asyncio.sleep(0.2)
    return []


def _routes_with(world: World, kinds: set[str]) -> list[str]:
    """Return the route of each command of which such was told last."""
    last = [events[-1] for events in told(world).values()]
    return [each.data["route"] for each in last if each.kind in kinds]


async def overlook(world: World, growth: Growth, late: LateBroker) -> None:
    """Lose a start on a job of ours alone, while new partitions start others on it."""
    luck = late.luck
    while not growth.is_over:  # noqa: ASYNC110 -- it is a state of the world, nobody's event
        await asyncio.sleep(0.1)
    await asyncio.sleep(luck.uniform(1.0, 8.0))
    world.jet.doomed.add(EXCLUSIVE)
    for number in range(401, 408):
        command = _command(luck, number, (EXCLUSIVE,))
        command.pop("expiresAt", None)
        world.commands.append(command)
        world.publish(command)
        await asyncio.sleep(luck.uniform(0.0, 1.0))


async def pause(world: World) -> None:
    if world.luck.random() < 0.2:
        job = world.luck.choice(JOBS)
        await asyncio.sleep(world.luck.uniform(0.0, 5.0))
        world.jet.paused.add(job)
        await asyncio.sleep(world.luck.uniform(0.5, 5.0))
        world.jet.paused.discard(job)


async def visit(world: World) -> None:
    if world.luck.random() < 0.2:
        await asyncio.sleep(world.luck.uniform(0.0, 10.0))
        job = world.luck.choice(JOBS)
        if job != STATED:
            world.jet.visit(job)


async def mislead(world: World) -> None:
    """Set the wall clock of a worker wrong, by a little or by an hour."""
    if world.luck.random() < 0.3:
        await asyncio.sleep(world.luck.uniform(0.0, 10.0))
        living = world.living()
        if living:
            node = world.luck.choice(living)
            node.skew = world.luck.choice((-3600.0, -1.0, 1.0, 3600.0))
            world.say(f"the clock of {node.name} is wrong by {node.skew} s")
