"""
A worker that hardly ever polls, told by the sandbox; forged ones; a worker untold.

And two behind one URL, of which each notification reaches one.
"""

import asyncio
import re
import statistics
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, cast

import httpx
import orjson
import pytest
from aiohttp import web

from jetworker.sandbox.jet.server import Sandbox
from jetworker.sandbox.kafka.broker import free_ports
from tests.support import forked
from tests.support.jet import site as sandboxes
from tests.support.jet.fake_server import JetServer
from tests.support.jet.site import Site, write
from tests.support.system import STATED, System, WorkerProcess, a_command
from tests.support.waiting import PATIENCE, shown_within, until

pytestmark = pytest.mark.integration

SECRET = "a-secret-of-16-letters"
ROUTES = f"routes: {{archive: {{job_name: copy, notifications: true, {STATED}}}}}"
INTERVALS = (8, 20, 50)  # seconds
FORGED = (
    25  # half of those that are read at once: Jet tells of each delivery five times
)
NEVER = {
    "JETWORKER_POLLING__MIN_INTERVAL": "1h",
    "JETWORKER_POLLING__MAX_INTERVAL": "2h",
}


@asynccontextmanager
async def a_system(
    kafka: str, folder: Path, port: int | None = None
) -> AsyncIterator[tuple[System, Site]]:
    """Open a system on a sandbox that copies, listening for notifications."""
    port = port or free_ports()[0]
    changes = {
        "JETWORKER_JET__CLIENT_ID": "demo",
        "JETWORKER_JET__CLIENT_SECRET": "demo-secret",
        "JETWORKER_NOTIFICATIONS__PORT": str(port),
        "JETWORKER_NOTIFICATIONS__URL": f"http://127.0.0.1:{port}/jet",
        "JETWORKER_NOTIFICATIONS__SECRET": SECRET,
    }
    async with (
        Sandbox(sandboxes.settings(folder)) as box,
        sandboxes.visit(box.base_url, folder) as site,
    ):
        jet = cast("JetServer", box)
        box.secret = "demo-secret"  # type: ignore[attr-defined]
        made = await System(kafka, jet, folder, ROUTES, changes).create()
        try:
            yield made, site
        finally:
            await made.close()


async def forge(url: str, job_id: str) -> None:
    """
    Send forged notifications as fast as one can, of deliveries that do not exist.

    With Jet's own no more of them have the secret than are read at once, however fast
    they come: one of Jet's that is not read for theirs is a loss, after which the worker
    polls.
    """
    async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE) as http:
        for number in range(300):
            with suppress(httpx.TransportError):  # it hangs up, perhaps in mid-sentence
                await http.post(f"{url}/wrong", content=b"x" * 1000)
            if number < FORGED:
                named = {"jobId": job_id, "deliveryId": f"forged-{number}"}
                event = {"data": {"delivery": named | {"state": "COMPLETED"}}}
                await http.post(f"{url}/{SECRET}", json={"events": [event]})


async def subscribed(site: Site) -> None:
    """Wait until Jet would tell: what ends before that is polled for."""

    async def is_subscribed() -> bool:
        return bool((await site.ask("GET", "/v1/subscriptions"))["items"])

    await until(is_subscribed, "a subscription")


async def unsubscribe(system: System) -> Any:
    """Run the operator's command."""
    process = await forked.start(
        *("jobs", "unsubscribe", "archive", "--json"),
        env=system.environ,
        stdout=forked.PIPE,
    )
    said, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    return orjson.loads(said)


async def test_what_jet_notifies_of_is_asked_at_once_and_what_is_forged_costs_nothing(
    kafka: str, tmp_path: Path
) -> None:
    async with a_system(kafka, tmp_path) as (system, site):
        names = [f"told-{n}" for n in range(4)]
        write(site.source, {f"/{each}.mov": b"a" * 1000 for each in names})
        told = await (await system.worker(**NEVER)).ready()
        await subscribed(site)
        job_id = (await site.job()).rpartition("/")[2]
        url = system.environ["JETWORKER_NOTIFICATIONS__URL"]
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(forge(url, job_id))
            await system.publish(*(a_command(each) for each in names))
            events = await system.terminal(len(names))

        kinds = [each.kind for each in events if each.is_terminal]
        assert kinds == ["delivery.completed"] * len(names)
        requests = (await site.ledger())["requests"]
        asked = [each for each in requests if each["operation"] == "get_delivery"]
        assert asked
        assert not [each for each in asked if "forged" in str(each["delivery"])]
        assert SECRET not in told.log.read_text()

        # Behind the same URL, and never told: it polls.
        assert await told.stop() == 0
        write(site.source, {"/polled.mov": b"a"})
        port = {"JETWORKER_NOTIFICATIONS__PORT": "0"}
        await (await system.worker(**port)).ready()
        await system.publish(a_command("polled"))
        await system.terminal(len(names) + 1)

        shown = (await site.ask("GET", "/v1/subscriptions"))["items"]
        assert [each["eventFilterConfig"]["jobId"] for each in shown] == [job_id]
        ended = await unsubscribe(system)
        assert ended == {
            "unsubscribed": [
                {"subscriptionId": shown[0]["subscriptionId"], "jobId": job_id}
            ]
        }
        assert (await site.ask("GET", "/v1/subscriptions"))["items"] == []


@dataclass
class Balancer:
    """
    Hands what names a delivery to one of its *targets* (ports), each in turn.

    All of one delivery to the same, so that it is known which worker is told of it.
    """

    http: httpx.AsyncClient
    targets: Sequence[int]
    target_of: dict[str, int] = field(default_factory=dict)
    ended: dict[str, datetime] = field(default_factory=dict)
    port: int = 0

    async def hand(self, request: web.Request) -> web.Response:
        """Forward one request."""
        body = await request.read()
        (event,) = orjson.loads(body)["events"]
        named = event["data"]["delivery"]
        following = self.targets[len(self.target_of) % len(self.targets)]
        target = self.target_of.setdefault(named["deliveryId"], following)
        if named["state"] == "COMPLETED":
            self.ended[named["deliveryId"]] = datetime.fromisoformat(event["time"])
        url = f"http://127.0.0.1:{target}{request.path}"
        answer = await self.http.post(url, content=body)
        return web.Response(status=answer.status_code)


@asynccontextmanager
async def balancing(*targets: int) -> AsyncIterator[Balancer]:
    """Listen in front of these."""
    async with httpx.AsyncClient(trust_env=False) as http:
        balancer = Balancer(http, targets)
        app = web.Application()
        app.router.add_post("/{path:.*}", balancer.hand)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        balancer.port = runner.addresses[0][1]
        try:
            yield balancer
        finally:
            await runner.cleanup()


def forged(job_id: str, delivery_id: str) -> dict[str, Any]:
    """Return a notification of an end that Jet never sent."""
    named = {"jobId": job_id, "deliveryId": delivery_id, "state": "COMPLETED"}
    time = "2026-01-01T00:00:00Z"
    return {"events": [{"time": time, "data": {"delivery": named}}]}


async def has_half(worker: WorkerProcess) -> bool:
    """Whether two of the four partitions are this worker's."""
    return "jetworker_partitions_assigned 2.0" in (await worker.get("/metrics")).text


async def told_of(balancer: Balancer, number: int) -> bool:
    """Whether Jet has notified of so many ends."""
    return len(balancer.ended) >= number


async def hints(worker: WorkerProcess, outcome: str) -> float:
    """Return how many deliveries its notifications have named."""
    text = (await worker.get("/metrics")).text
    found = re.search(rf'notifications_total{{outcome="{outcome}"}} (\S+)', text)
    assert found
    return float(found[1])


async def test_of_two_workers_behind_one_url_the_follower_is_told_or_it_polls(
    kafka: str, tmp_path: Path
) -> None:
    """Who is told is not late by what it would have waited, however busy the machine."""

    async def missing(interval: int) -> str:
        folder = tmp_path / f"{interval}"
        folder.mkdir()
        told, untold = await lateness(kafka, folder, interval)
        is_shown = 2 * told < untold
        return "" if is_shown else f"late by {told} s if told, by {untold} s if not"

    await shown_within(INTERVALS, missing)


async def lateness(kafka: str, folder: Path, interval: int) -> tuple[float, float]:
    """Return by how many seconds ends are late of which the follower is told, or not."""
    ports = free_ports()
    polling = {
        "JETWORKER_POLLING__MIN_INTERVAL": f"{interval}s",
        "JETWORKER_POLLING__MAX_INTERVAL": f"{interval}s",
    }
    async with (
        balancing(*ports) as balancer,
        a_system(kafka, folder, balancer.port) as (system, site),
    ):
        names = [f"shared-{n}" for n in range(24)]
        write(site.source, {f"/{each}.mov": b"a" * 1000 for each in names})
        workers = {
            port: await system.worker(
                **polling, JETWORKER_NOTIFICATIONS__PORT=str(port)
            )
            for port in ports
        }
        for each in workers.values():
            await each.ready()
            await until(partial(has_half, each), "partitions shared out evenly")
        await subscribed(site)
        job_id = (await site.job()).rpartition("/")[2]
        url = system.environ["JETWORKER_NOTIFICATIONS__URL"]
        for number in range(4):
            body = forged(job_id, f"forged-{number}")
            await balancer.http.post(f"{url}/{SECRET}", json=body)

        await system.publish(*(a_command(each) for each in names))
        events = await system.terminal(len(names))

        assert [e.kind for e in events if e.is_terminal] == [
            "delivery.completed"
        ] * len(names)
        ledger = await site.ledger()
        assert len(ledger["creations"]) == len(names)
        asked = [
            each["delivery"]
            for each in ledger["requests"]
            if each["operation"] == "get_delivery"
        ]
        assert all(asked.count(f"forged-{number}") <= 1 for number in range(4))
        for outcome in ("followed", "unfollowed"):
            assert sum([await hints(x, outcome) for x in workers.values()])
        ends = len(names) + 4  # those that were forged too
        await until(lambda: told_of(balancer, ends), "a notification of each end")
        late: dict[bool, list[float]] = {True: [], False: []}
        for event in events:
            if event.is_terminal:
                delivery_id = event.data["deliveryId"]
                told = workers[balancer.target_of[delivery_id]]
                ended_at = balancer.ended[delivery_id].timestamp()
                late[delivery_id in told.log.read_text()].append(
                    event.at / 1000 - ended_at
                )
        return statistics.median(late[True]), statistics.median(late[False])
