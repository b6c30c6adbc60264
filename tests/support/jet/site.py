"""A sandbox between two folders, asked over HTTP as any program would ask it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from jetworker.config.model import JetConfig
from jetworker.jet.client import JetClient, open_client
from jetworker.runtime.clock import Clock
from jetworker.runtime.metrics import Metrics
from jetworker.sandbox.jet.server import Sandbox
from jetworker.sandbox.jet.settings import JobSeed, SandboxSettings, Tuning
from tests.support.waiting import PATIENCE

QUICK = Tuning(step_seconds=0.01, growing_poll_seconds=0.02)
FINAL = {"COMPLETED", "FAILED"}
Document = dict[str, Any]


@dataclass(frozen=True)
class Site:
    """A sandbox with the job `copy` from `source` to `target`, and a way to ask it."""

    http: httpx.AsyncClient
    source: Path
    target: Path

    async def sign_in(self) -> None:
        """Use a new token from now on."""
        answer = await self.ask("POST", "/oauth/token", CREDENTIALS)
        self.http.headers["Authorization"] = f"Bearer {answer['access_token']}"

    async def ask(
        self, method: str, path: str, body: Any = None, status: int = 200
    ) -> Document:
        """Return the answer, which must have this status."""
        response = await self.http.request(method, path, json=body)
        assert response.status_code == status, response.text
        found: Document = response.json()
        return found

    async def tune(self, **changes: Any) -> Document:
        """Change how the jobs work."""
        return await self.ask("POST", "/_sandbox/settings", changes)

    async def fault(self, operation: str, kind: str, **more: Any) -> Document:
        """Set a fault."""
        fault = {"operation": operation, "kind": kind, **more}
        return await self.ask("POST", "/_sandbox/faults", fault)

    async def ledger(self, since: int = 0) -> Document:
        """Return every request and creation after a number."""
        return await self.ask("GET", f"/_sandbox/ledger?since={since}")

    async def job(self, name: str = "copy") -> str:
        """Return the path of a job."""
        jobs = (await self.ask("GET", "/v1/jobs"))["items"]
        return next(f"/v1/jobs/{job['jobId']}" for job in jobs if job["name"] == name)

    async def start(self, *paths: str, job: str = "copy") -> str:
        """Start a delivery and return its path; what ends in a slash is a folder."""
        place = await self.job(job)
        answer = await self.ask("POST", f"{place}/deliveries", body_of(*paths))
        return f"{place}/deliveries/{answer['deliveryId']}"

    async def finished(self, delivery: str) -> Document:
        """Return a delivery once it is over."""
        return (await self.watched(delivery))[-1]

    async def watched(self, delivery: str, pause: float = 0.01) -> list[Document]:
        """Return every different look of a delivery, the last one is final."""
        seen: list[Document] = []
        async with asyncio.timeout(PATIENCE):
            while not seen or seen[-1]["state"] not in FINAL:
                shown = await self.ask("GET", delivery)
                seen += [shown] if seen[-1:] != [shown] else []
                await asyncio.sleep(pause)  # between looks
        return seen

    async def copied(self, *paths: str, job: str = "copy") -> Document:
        """Start a delivery and return it once it is over."""
        return await self.finished(await self.start(*paths, job=job))

    async def transfers(self, delivery: str) -> list[Document]:
        """Return the transfers of a delivery as they are now."""
        ids = (await self.ask("GET", delivery))["transfers"]
        job = delivery.partition("/deliveries/")[0]
        return [
            await self.ask("GET", f"{job}/transfers/{each['transferId']}")
            for each in ids
        ]


CREDENTIALS = {
    "client_id": "demo",
    "client_secret": "demo-secret",
    "grant_type": "client_credentials",
}


def body_of(*paths: str) -> Document:
    """Return the body of a start; what ends in a slash is a folder."""
    return {
        "objects": [
            {"relativePath": path.rstrip("/") or "/", "isDirectory": True}
            if path.endswith("/")
            else {"relativePath": path}
            for path in paths
        ]
    }


def settings(folder: Path, tuning: Tuning = QUICK) -> SandboxSettings:
    """Return a sandbox of two folders below *folder*, made if they are not there."""
    profiles = {"Source": folder / "source", "Target": folder / "target"}
    for each in profiles.values():
        each.mkdir(exist_ok=True)
    jobs = (
        JobSeed("copy", "Source", "Target"),
        JobSeed("grow", "Source", "Target", growing_idle_seconds=0.4),
    )
    return SandboxSettings(profiles, jobs, seed=7, tuning=tuning)


@asynccontextmanager
async def site(
    folder: Path, given: SandboxSettings | None = None, **changes: Any
) -> AsyncIterator[Site]:
    """Open a sandbox in this process; *changes* are fields of the settings."""
    async with (
        Sandbox(replace(given or settings(folder), **changes)) as box,
        visit(box.base_url, folder) as found,
    ):
        yield found


@asynccontextmanager
async def visit(base_url: str, folder: Path) -> AsyncIterator[Site]:
    """Sign in at a sandbox that runs somewhere."""
    async with httpx.AsyncClient(
        base_url=base_url, verify=False, trust_env=False, timeout=PATIENCE
    ) as http:
        found = Site(http, folder / "source", folder / "target")
        await found.sign_in()
        yield found


@asynccontextmanager
async def jet_client(base_url: str, secret: str) -> AsyncIterator[JetClient]:
    """Open jetworker's own client."""
    config = JetConfig(
        base_url=base_url,
        client_id="demo",
        client_secret=SecretStr(secret),
        request_timeout=timedelta(seconds=PATIENCE),
        requests_per_second=1000,
    )
    clock, metrics = Clock(), Metrics(CollectorRegistry())
    async with open_client(
        config,
        lambda: (config.client_id, secret),
        clock,
        metrics,
        user_agent="test",
    ) as jet:
        yield jet


def write(root: Path, files: Mapping[str, bytes]) -> None:
    """Write files, named from the root of a folder."""
    for path, content in files.items():
        place = root / path.removeprefix("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)


def tree(root: Path) -> dict[str, bytes | None]:
    """Return every file with its bytes, and every folder with None."""
    return {
        f"/{each.relative_to(root)}": None if each.is_dir() else each.read_bytes()
        for each in root.rglob("*")
    }
