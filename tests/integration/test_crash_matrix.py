"""A worker killed at every labelled point: nothing is lost, nothing is started twice."""

import pytest

from jetworker.crash import VARIABLE, Point
from tests.jet_server import JetServer
from tests.judge import judge
from tests.system import System, a_command, until

pytestmark = pytest.mark.integration


async def survives(system: System, point: Point) -> None:
    """Kill a worker at a point of a delivery's life, and let another go on."""
    known = a_command("known")
    steady = await (await system.worker()).ready()
    await system.publish(known)
    await system.terminal(1)
    if point in {Point.DOUBTED, Point.FOUND}:
        first = iter(["lost_after"])
        system.jet.fault = lambda operation, _: (
            next(first, None) if operation == "start_delivery" else None
        )
    assert await steady.stop() == 0

    victim = await system.worker(**{VARIABLE: point})
    commands = [a_command(f"x-{n}") for n in range(4)]
    await system.publish(*commands)
    if point is Point.REVOKED:
        await victim.ready()
        await system.worker()
    await until(lambda: victim.process.returncode is not None, f"killed at {point}")
    await (await system.worker()).ready()
    events = await system.terminal(5)

    assert victim.process.returncode == -9
    judge(events, [known, *commands], system.jet)
    assert {e.kind for e in events if e.is_terminal} == {"delivery.completed"}


@pytest.mark.parametrize("point", Point)
async def test_a_worker_killed_at_this_point_is_survived(
    system: System, point: Point
) -> None:
    await survives(system, point)


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("point", Point)
@pytest.mark.parametrize("repetition", range(10))
async def test_ten_times_over(system: System, point: Point, repetition: int) -> None:
    await survives(system, point)
    assert isinstance(system.jet, JetServer)
    assert repetition < 10
