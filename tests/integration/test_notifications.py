"""A worker that hardly ever polls, told by the sandbox; forged ones; a worker untold."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import orjson
import pytest

from jetworker.sandbox.jet.server import Sandbox
from tests.support import forked
from tests.support.jet import site as sandboxes
from tests.support.jet.fake_server import JetServer
from tests.support.jet.site import Site, write
from tests.support.system import STATED, System, a_command
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.integration

SECRET = "a-secret-of-16-letters"
ROUTES = f"routes: {{archive: {{job_name: copy, notifications: true, {STATED}}}}}"
NEVER = {
    "JETWORKER_POLLING__MIN_INTERVAL": "1h",
    "JETWORKER_POLLING__MAX_INTERVAL": "2h",
}


@asynccontextmanager
async def a_system(kafka: str, folder: Path) -> AsyncIterator[tuple[System, Site]]:
    """Open a system on a sandbox that copies, listening for notifications."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
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


async def flood(url: str, job_id: str) -> None:
    """Send forged notifications as fast as one can, of deliveries that do not exist."""
    async with httpx.AsyncClient(trust_env=False) as http:
        for number in range(300):
            named = {"jobId": job_id, "deliveryId": f"forged-{number}"}
            event = {"data": {"delivery": named | {"state": "COMPLETED"}}}
            await http.post(f"{url}/{SECRET}", json={"events": [event]})
            await http.post(f"{url}/wrong", content=b"x" * 1000)


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
        job_id = (await site.job()).rpartition("/")[2]
        url = system.environ["JETWORKER_NOTIFICATIONS__URL"]
        forging = asyncio.create_task(flood(url, job_id))
        try:
            await system.publish(*(a_command(each) for each in names))
            events = await system.terminal(len(names))
        finally:
            forging.cancel()

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
