"""The two servers that stand for Jet in the tests, made to do the same things."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import httpx
from aiohttp import web

from jetworker.core.command import DeliveryId, ObjectSpec
from jetworker.core.observation import JetDelivery, JetJob, StartAccepted, StartAnswer
from jetworker.jet.client import JetClient
from jetworker.sandbox.jet.settings import SandboxSettings
from jetworker.wire.jet import items
from jetworker.wire.jet import job as read_job
from tests.support.jet import site as sandboxes
from tests.support.jet.fake_server import JetServer
from tests.support.jet.site import QUICK, Site, write
from tests.support.waiting import PATIENCE

FILES = {"/a.mov": b"a" * 100_000, "/show/b 1.mov": b"b" * 50_000}
OBJECTS = tuple(ObjectSpec(path, len(data)) for path, data in FILES.items())
MISSING = ObjectSpec("/missing.mov", 1)
SECONDS = 0.5  # that a delivery of OBJECTS takes


class Side(Protocol):
    """A Jet with the storage profiles London and Paris; OBJECTS are there."""

    base_url: str
    secret: str

    async def lose(self, when: str) -> None:
        """Lose the answer to the next start `before` or `after` it is applied."""

    async def refuse(self, operation: str, status: int) -> None:
        """Answer the next request of an operation with a status."""

    async def expire_tokens(self) -> None:
        """Expire all tokens at the next look at a job."""

    async def hide_deliveries(self, shown: str) -> None:
        """Show `latest` or `none` of its deliveries in a job."""

    async def start_elsewhere(self, job_id: str, path: str) -> str:
        """Start a delivery as a person at the console does; returns its id."""

    async def fail_one(self, delivery_id: str) -> None:
        """Let the object MISSING of this delivery fail."""

    async def take_minutes(self) -> None:
        """Let what is started from now on take longer than any test."""


@dataclass
class FakeSide:
    """The tests' own fake."""

    server: JetServer
    base_url: str
    secret: str

    async def lose(self, when: str) -> None:
        self._once("start_delivery", f"lost_{when}")

    async def refuse(self, operation: str, status: int) -> None:
        self._once(operation, web.json_response({"message": "no"}, status=status))

    async def expire_tokens(self) -> None:
        self._once("get_job", "expire")

    async def hide_deliveries(self, shown: str) -> None:
        self.server.listing = shown

    async def start_elsewhere(self, job_id: str, path: str) -> str:
        return self.server.start(job_id, [{"relativePath": path}]).delivery_id

    async def fail_one(self, delivery_id: str) -> None:
        self.server.deliveries[delivery_id].failed = 1

    async def take_minutes(self) -> None:
        self.server.seconds = 600.0

    def _once(self, operation: str, what: web.Response | str) -> None:
        waiting = [what]

        def fault(asked: str, _server: JetServer) -> web.Response | str | None:
            return waiting.pop() if waiting and asked == operation else None

        self.server.fault = fault


@dataclass
class SandboxSide:
    """The sandbox, copying real files."""

    site: Site
    base_url: str
    secret: str

    async def lose(self, when: str) -> None:
        await self.site.fault("start_delivery", f"lost_{when}")

    async def refuse(self, operation: str, status: int) -> None:
        await self.site.fault(operation, "status", status=status)

    async def expire_tokens(self) -> None:
        await self.site.fault("get_job", "expire_tokens")

    async def hide_deliveries(self, shown: str) -> None:
        words = {"none": "no"}
        await self.site.tune(deliveries_visible=words.get(shown, shown))

    async def start_elsewhere(self, job_id: str, path: str) -> str:
        body = {"job": job_id, "objects": [{"relativePath": path}]}
        answer = await self.site.ask("POST", "/_sandbox/deliveries", body)
        return str(answer["deliveryId"])

    async def fail_one(self, delivery_id: str) -> None:
        """MISSING is missing."""

    async def take_minutes(self) -> None:
        await self.site.tune(bandwidth=250)


@asynccontextmanager
async def fake(_folder: Path) -> AsyncIterator[Side]:
    """Open the fake."""
    async with JetServer(seconds=SECONDS) as server:
        yield FakeSide(server, server.base_url, server.secret)


@asynccontextmanager
async def sandbox(folder: Path) -> AsyncIterator[Side]:
    """Open a sandbox over two folders."""
    both = sandboxes.settings(folder).profiles
    write(both["Source"], FILES)
    settings = SandboxSettings(
        {"London": both["Source"], "Paris": both["Target"]},
        tuning=replace(QUICK, bandwidth=int(sum(map(len, FILES.values())) / SECONDS)),
    )
    async with sandboxes.site(folder, settings) as site:
        yield SandboxSide(site, str(site.http.base_url), settings.client_secret)


async def raw(
    side: Side, method: str, path: str, body: object = None, token: str | None = None
) -> httpx.Response:
    """Ask as anybody could, without jetworker's client."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    content = None if body is None else json.dumps(body).encode()
    if content is not None:
        headers["Content-Type"] = "application/json"
    async with httpx.AsyncClient(base_url=side.base_url, verify=False) as http:
        return await http.request(method, path, content=content, headers=headers)


async def token(side: Side, **changes: str) -> httpx.Response:
    """Ask for a token."""
    given = {
        "client_id": "demo",
        "client_secret": side.secret,
        "grant_type": "client_credentials",
    }
    return await raw(side, "POST", "/oauth/token", given | changes)


async def start(jet: JetClient, job: JetJob, *more: ObjectSpec) -> DeliveryId:
    """Start OBJECTS and *more*; returns the id."""
    answer = await ask_start(jet, job, *more)
    assert isinstance(answer, StartAccepted)
    return answer.delivery_id


async def ask_start(jet: JetClient, job: JetJob, *more: ObjectSpec) -> StartAnswer:
    """Start OBJECTS and *more*; returns the answer."""
    objects = (*OBJECTS, *more)
    return await jet.start_delivery(job.job_id, objects, guard=lambda: None)


async def watched(
    jet: JetClient, job: JetJob, delivery: DeliveryId
) -> list[JetDelivery]:
    """Return every look of a delivery until it is over."""
    seen: list[JetDelivery] = []
    async with asyncio.timeout(PATIENCE):
        while not seen or seen[-1].state not in sandboxes.FINAL:
            seen.append(await jet.get_delivery(job.job_id, delivery))
            await asyncio.sleep(0.02)  # between looks
    return seen


async def bearer(side: Side) -> str:
    """Return a token."""
    return str((await token(side)).json()["access_token"])


async def searched(side: Side, text: str) -> list[JetJob]:
    """Return the jobs that a search by text shows."""
    query = {"query": {"text": text}}
    page = await raw(side, "POST", "/v1/jobs/search", query, await bearer(side))
    return list(items(page.json(), read_job).items)
