"""Random kills, stops, freezes and scaling under load: the same judgement as ever."""

import asyncio
import random
import signal

import pytest

from tests.support.invariants import judge
from tests.support.system import System, WorkerProcess, a_command

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]
ROUTES = ("archive", "by-name", "by-profiles")
FEWEST = 4  # strikes, however long they take


async def strike(
    system: System, luck: random.Random, workers: list[WorkerProcess]
) -> str:
    """Do something to a worker, and see to it that there is another."""
    victim = luck.choice(workers)
    how = luck.choice(["kill", "stop", "freeze", "more"])
    match how:
        case "kill":
            victim.kill()
        case "stop":
            victim.send(signal.SIGTERM)
        case "freeze":
            victim.send(signal.SIGSTOP)
            await asyncio.sleep(4)  # the fault: longer than a session lasts
            victim.send(signal.SIGCONT)
            return how
        case _:
            workers.append(await system.worker())
            return how
    workers.remove(victim)
    workers.append(await system.worker())
    return how


async def chaos(system: System, seed: int, seconds: float) -> None:
    """Strike every three seconds for so long, while commands keep coming."""
    luck = random.Random(seed)
    workers = [await system.worker() for _ in range(3)]
    known = [a_command(f"known-{n}-{r}", r) for n in range(2) for r in ROUTES]
    await system.publish(*known)
    await system.terminal(len(known))
    commands = list(known)
    deadline = asyncio.get_running_loop().time() + seconds
    struck: list[str] = []
    while asyncio.get_running_loop().time() < deadline or len(struck) < FEWEST:
        fresh = [
            a_command(f"{seed}-{len(commands) + n}", ROUTES[n % 3]) for n in range(9)
        ]
        commands += fresh
        await system.publish(*fresh)
        struck.append(await strike(system, luck, workers))
        await asyncio.sleep(3)  # so often something is struck
    workers.append(await system.worker())
    events = await system.decided(len(commands))

    judge(events, commands, system.jet)
    assert {e.kind for e in events if e.is_terminal} == {"delivery.completed"}


async def test_half_a_minute_of_chaos_loses_and_doubles_nothing(system: System) -> None:
    await chaos(system, 1, 30)


@pytest.mark.nightly
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(2, 22))
async def test_a_minute_of_chaos_again_and_again(system: System, seed: int) -> None:
    await chaos(system, seed, 60)
