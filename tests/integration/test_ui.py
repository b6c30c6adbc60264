"""`jetworker ui` on a real Kafka: what workers did, an order end to end, workers gone."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from tests.support import forked
from tests.support.system import System, a_command
from tests.support.waiting import PATIENCE, until

pytestmark = pytest.mark.integration


@asynccontextmanager
async def ui(system: System, *options: str) -> AsyncIterator[httpx.AsyncClient]:
    """Run the command as an operator does; it must end with 0 when it is told to."""
    log = system.folder / "ui.log"
    with log.open("wb") as stderr:
        process = await forked.start(
            *("ui", "--port", "0", *options),
            env=system.environ,
            stdout=forked.PIPE,
            stderr=stderr,
        )
    assert process.stdout is not None
    try:
        address = (await process.stdout.readline()).decode().strip()
        assert address, log.read_text()
        async with httpx.AsyncClient(base_url=address, trust_env=False) as http:
            await until(lambda: _is_ready(http), "a page that has read everything")
            yield http
        process.terminate()
        assert await asyncio.wait_for(process.wait(), PATIENCE) == 0, log.read_text()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _is_ready(http: httpx.AsyncClient) -> bool:
    return (await http.get("/readyz")).status_code == 200


async def _shows(http: httpx.AsyncClient, path: str, *texts: str) -> bool:
    page = (await http.get(path)).text
    return all(text in page for text in texts)


async def test_the_page_shows_the_installation_and_an_order_is_carried_out(
    system: System,
) -> None:
    worker = await (await system.worker()).ready()
    await system.publish(
        a_command("done-1"),
        a_command("stuck-1", route="unnamed"),
        a_command("odd-1", route="nowhere"),
    )
    await system.terminal(1)

    async with ui(system, "--allow-actions") as http:
        await until(
            lambda: _shows(http, "/deliveries?state=waiting", "stuck-1", "1 to 1 of 1"),
            "a command that waits",
        )
        await until(
            lambda: _shows(http, "/", 'role="cell">0, 1, 2, 3</span>'), "the member"
        )
        assert await _shows(http, "/", "no-such-name", "job_unavailable")
        await until(
            lambda: _shows(http, "/dead-letters", "unknown_route", "odd-1"),
            "the dead letter",
        )
        assert await _shows(
            http, "/deliveries/done-1", "delivery.accepted", "delivery.completed"
        )

        page = (await http.get("/deliveries/stuck-1")).text
        found = re.search('name="token" value="([0-9a-f]+)"', page)
        assert found is not None
        form = {"token": found[1], "action": "cancel", "id": "stuck-1"}
        asked = await http.post("/actions", data=form)
        assert "Cancel 1 command?" in asked.text
        done = await http.post("/actions", data=form | {"confirmed": "1"})
        assert done.status_code == 303
        await until(
            lambda: _shows(http, "/deliveries/stuck-1", "delivery.cancelled"),
            "the command's end",
        )
        replay = {"token": found[1], "all": "1", "reason": "unknown_route"}
        asked = await http.post("/dead-letters/replay", data=replay)
        assert "Replay 1 dead letter?" in asked.text
        done = await http.post("/dead-letters/replay", data=replay | {"confirmed": "1"})
        assert done.status_code == 303
        await until(
            lambda: _shows(http, "/dead-letters", "</a> replayed", "1 to 2 of 2"),
            "the letter's mark, and the letter that its replay has become",
        )
        asked = await http.post("/dead-letters/replay", data=replay)
        assert asked.status_code == 409
        assert await worker.stop() == 0
        await until(lambda: _shows(http, "/", "No worker is in the group"), "no worker")
        assert await _shows(http, "/deliveries/done-1", "delivery.completed")

    told = (system.folder / "ui.log").read_text()
    assert '"who":"unknown","action":"cancel","commands":1' in told
    assert '"who":"unknown","letters":1' in told
