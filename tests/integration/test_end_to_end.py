"""The main job, on real parts: commands in, deliveries at Jet, events out."""

import signal

import pytest

from tests.support.figures import lag
from tests.support.invariants import judge
from tests.support.system import System, a_command
from tests.support.waiting import until

pytestmark = pytest.mark.integration


async def test_commands_over_three_routes_end_once_each(system: System) -> None:
    routes = ("archive", "by-name", "by-profiles")
    commands = [a_command(f"c-{n}", routes[n % 3]) for n in range(200)]
    for worker in [await system.worker(), await system.worker()]:
        await worker.ready()

    await system.publish(*commands, traceparent=b"00-abc-01")
    events = await system.terminal(200)

    judge(events, commands, system.jet)
    assert await lag(system) == 0
    assert {event.headers["traceparent"] for event in events} == {"00-abc-01"}
    assert {e.kind for e in events if e.is_terminal} == {"delivery.completed"}
    names = [job.name for job in system.jet.jobs.values()]
    assert names.count("created") in {1, 2}
    used = {d.job_id for d in system.jet.deliveries.values()}
    assert len(used) == 3


async def test_a_killed_worker_is_taken_over_and_nothing_is_started_twice(
    system: System,
) -> None:
    commands = [a_command(f"k-{n}") for n in range(80)]
    system.jet.seconds = 1.0
    first, second = await system.worker(), await system.worker()
    for worker in (first, second):
        await worker.ready()
    await system.publish(*commands)
    await until(lambda: len(system.jet.deliveries) > 20, "twenty starts")

    first.kill()
    events = await system.terminal(80)

    judge(events, commands, system.jet)


async def test_a_stopped_worker_leaves_no_uncertain_start(system: System) -> None:
    commands = [a_command(f"s-{n}") for n in range(60)]
    first = await (await system.worker()).ready()
    await system.publish(*commands)
    await until(lambda: len(system.jet.deliveries) > 10, "ten starts")

    second = await system.worker()
    code = await first.stop()
    await second.ready()
    events = await system.terminal(60)

    assert code == 0
    assert not [e for e in events if e.kind == "delivery.uncertain"]
    judge(events, commands, system.jet)


async def test_a_frozen_worker_that_wakes_up_commits_and_starts_nothing(
    system: System,
) -> None:
    commands = [a_command(f"z-{n}") for n in range(60)]
    first, second = await system.worker(), await system.worker()
    for worker in (first, second):
        await worker.ready()
    await system.publish(*commands)
    await until(lambda: len(system.jet.deliveries) > 10, "ten starts")

    first.send(signal.SIGSTOP)
    events = await system.terminal(60)
    first.send(signal.SIGCONT)
    await first.ready()

    judge(await system.events(), commands, system.jet)
    assert len(events) <= len(await system.events())


async def test_sigterm_before_it_is_ready_exits_0(system: System) -> None:
    worker = await system.worker(JETWORKER_KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1")
    await until(lambda: "kafka cannot be reached" in worker.log.read_text(), "a log")

    assert await worker.stop() == 0
