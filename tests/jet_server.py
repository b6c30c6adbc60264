"""An in-memory Jet over real HTTP, whose faults a test sets; it keeps every request."""

import asyncio
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

from aiohttp import web

Fault = Callable[[str, "JetServer"], "web.Response | str | None"]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass
class Job:
    """A manual job."""

    job_id: str
    name: str
    profiles: tuple[str, str]
    paused: bool = False
    created_on: str = field(default_factory=_now)


@dataclass
class Started:
    """A delivery; it is over *seconds* after it was created."""

    delivery_id: str
    job_id: str
    objects: list[dict[str, Any]]
    seconds: float
    created_on: str = field(default_factory=_now)
    began: float = field(default_factory=lambda: asyncio.get_running_loop().time())
    end_state: str = "COMPLETED"
    failed: int = 0

    @property
    def is_over(self) -> bool:
        """Whether its time has passed."""
        return asyncio.get_running_loop().time() - self.began >= self.seconds


class JetServer:
    """
    Jet for tests.

    *fault* is asked before every request with the operation: a response is answered
    instead, "lost_before" and "lost_after" close the connection without or after
    applying, None goes on. *ended_at* is when each delivery was first shown to be over
    (Unix time). *delays* are seconds before anything about a job;
    with *lateness* a start is applied so many seconds after its answer was lost.
    """

    def __init__(self, seconds: float = 0.3) -> None:
        self.seconds = seconds
        self.jobs: dict[str, Job] = {}
        self.deliveries: dict[str, Started] = {}
        self.requests: list[tuple[float, str, str]] = []
        self.fault: Fault = lambda _operation, _server: None
        self.delays: dict[str, float] = {}
        self.lateness = 0.0
        self.ended_at: dict[str, float] = {}
        self.listing = "all"
        self.tokens: set[str] = set()
        self.token_life = 3600
        self.secret = "s3cr3t-canary"
        self.profiles = {"London": "p-london", "Paris": "p-paris"}
        self.base_url = ""
        self._runner: web.AppRunner | None = None
        self._site: web.TCPSite | None = None

    def add_job(self, name: str, job_id: str | None = None) -> Job:
        """Make a job."""
        job = Job(job_id or str(uuid.uuid4()), name, ("p-london", "p-paris"))
        self.jobs[job.job_id] = job
        return job

    def count(self, operation: str) -> int:
        """Return how many requests of an operation came."""
        return sum(1 for _, each, _ in self.requests if each == operation)

    def creations(self) -> dict[str, list[str]]:
        """Return the deliveries made for each first path."""
        found: dict[str, list[str]] = {}
        for each in self.deliveries.values():
            path = each.objects[0]["relativePath"]
            found.setdefault(path, []).append(each.delivery_id)
        return found

    async def __aenter__(self) -> Self:
        app = web.Application(middlewares=[self._guard])
        add = app.router.add_route
        add("POST", "/oauth/token", self.token, name="token")
        add("GET", "/v1/storageProfiles", self.list_profiles, name="list_profiles")
        add("GET", "/v1/jobs", self.list_jobs, name="list_jobs")
        add("POST", "/v1/jobs", self.create_job, name="create_job")
        add("GET", "/v1/jobs/{job}", self.get_job, name="get_job")
        add("PATCH", "/v1/jobs/{job}", self.set_paused, name="set_paused")
        base = "/v1/jobs/{job}"
        add("POST", f"{base}/deliveries", self.start_delivery, name="start_delivery")
        add("GET", f"{base}/deliveries/{{id}}", self.get_delivery, name="get_delivery")
        add("GET", f"{base}/transfers", self.list_transfers, name="list_transfers")
        add("GET", f"{base}/transfers/{{id}}", self.get_transfer, name="get_transfer")
        add("GET", f"{base}/files", self.list_files, name="list_files")
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await self.up()
        self.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def up(self) -> None:
        """Take connections, where they were taken before."""
        assert self._runner is not None
        port = int(self.base_url.rpartition(":")[2] or 0)
        self._site = web.TCPSite(self._runner, "127.0.0.1", port)
        await self._site.start()

    async def down(self) -> None:
        """Refuse connections, and drop those that are."""
        assert self._site is not None
        assert self._runner is not None
        assert self._runner.server is not None
        await self._site.stop()
        for connection in list(self._runner.server.connections):
            connection.force_close()

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        operation = request.match_info.route.name or "unknown"
        now = asyncio.get_running_loop().time()
        self.requests.append((now, operation, request.path))
        await request.read()
        fault = self.fault(operation, self)
        if isinstance(fault, web.Response):
            return fault
        if fault == "lost_before":
            return self._hang_up(request)
        if fault == "expire":
            self.tokens.clear()
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if operation not in {"token", "unknown"} and bearer not in self.tokens:
            return web.json_response({"message": "Unauthorized"}, status=401)
        if "job" in request.match_info and request.match_info["job"] not in self.jobs:
            return web.json_response({"message": "no such job"}, status=404)
        await asyncio.sleep(self.delays.get(request.match_info.get("job", ""), 0.0))
        response: web.StreamResponse = await handler(request)
        return self._hang_up(request) if fault == "lost_after" else response

    def _hang_up(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    async def token(self, request: web.Request) -> web.Response:
        if (await request.json())["client_secret"] != self.secret:
            return web.json_response({"message": "invalid client"}, status=401)
        token = f"token-{uuid.uuid4()}"
        self.tokens.add(token)
        answer = {"access_token": token, "expires_in": self.token_life}
        return web.json_response(answer | {"token_type": "Bearer"})

    async def list_profiles(self, _request: web.Request) -> web.Response:
        items = [
            {"storageProfileId": each, "name": name}
            for name, each in self.profiles.items()
        ]
        return web.json_response({"items": items})

    async def list_jobs(self, _request: web.Request) -> web.Response:
        return web.json_response({"items": [self._job(j) for j in self.jobs.values()]})

    async def create_job(self, request: web.Request) -> web.Response:
        body = await request.json()
        job = self.add_job(body["name"])
        return web.json_response(self._job(job))

    async def get_job(self, request: web.Request) -> web.Response:
        return web.json_response(self._job(self.jobs[request.match_info["job"]]))

    async def set_paused(self, request: web.Request) -> web.Response:
        job = self.jobs[request.match_info["job"]]
        job.paused = (await request.json())["paused"]
        return web.json_response(self._job(job) | {"paused": job.paused})

    async def start_delivery(self, request: web.Request) -> web.Response:
        job = self.jobs[request.match_info["job"]]
        if job.paused:
            return web.json_response({"message": "job is paused"}, status=400)
        objects = (await request.json())["objects"]
        if self.lateness:
            loop = asyncio.get_running_loop()
            loop.call_later(self.lateness, self.start, job.job_id, objects)
            return self._hang_up(request)
        started = self.start(job.job_id, objects)
        answer = {"objects": objects, "deliveryId": started.delivery_id}
        return web.json_response(answer)

    def start(self, job_id: str, objects: list[dict[str, Any]]) -> Started:
        """Make a delivery, as the API or a person at the console does."""
        started = Started(str(uuid.uuid4()), job_id, objects, self.seconds)
        self.deliveries[started.delivery_id] = started
        return started

    async def get_delivery(self, request: web.Request) -> web.Response:
        each = self.deliveries.get(request.match_info["id"])
        if each is None or each.job_id != request.match_info["job"]:
            return web.json_response({"message": "no such delivery"}, status=404)
        if each.is_over:
            self.ended_at.setdefault(each.delivery_id, time.time())
        answer = {
            "metadata": {"jobId": each.job_id, "baseUrl": "https://storage.example/x"},
            "deliverySummary": self._progress(each),
            "state": each.end_state if each.is_over else "IN_PROGRESS",
            "deliveryId": each.delivery_id,
            "createdOn": each.created_on,
            "transfers": [{"transferId": f"t-{each.delivery_id}"[:40]}],
        }
        return web.json_response(answer)

    async def list_transfers(self, request: web.Request) -> web.Response:
        if request.query.get("state") != "IN_PROGRESS":
            return web.json_response({"message": "state"}, status=400)
        job_id = request.match_info["job"]
        items = [
            self._transfer(each)
            for each in self.deliveries.values()
            if each.job_id == job_id and not each.is_over
        ]
        return web.json_response({"items": items})

    async def get_transfer(self, request: web.Request) -> web.Response:
        wanted = request.match_info["id"]
        for each in self.deliveries.values():
            if f"t-{each.delivery_id}"[:40] == wanted:
                return web.json_response(self._transfer(each))
        return web.json_response({"message": "no such transfer"}, status=404)

    async def list_files(self, request: web.Request) -> web.Response:
        items = [
            {
                "url": f"file:///storage{spec['relativePath']}",
                "transferId": f"t-{each.delivery_id}"[:40],
                "state": "IN_PROGRESS",
            }
            for each in self.deliveries.values()
            if each.job_id == request.match_info["job"]
            for spec in each.objects
        ]
        return web.json_response({"items": items})

    def _job(self, job: Job) -> dict[str, Any]:
        own = [d for d in self.deliveries.values() if d.job_id == job.job_id]
        shown = {"all": own, "latest": own[-1:], "none": []}[self.listing]
        document: dict[str, Any] = {
            "jobId": job.job_id,
            "name": job.name,
            "createdOn": job.created_on,
            "actions": [
                {
                    "type": "TRANSFER",
                    "data": {
                        "source": {"storageProfileId": job.profiles[0]},
                        "destination": {"storageProfileId": job.profiles[1]},
                    },
                }
            ],
            "activity": {"deliveries": [{"deliveryId": d.delivery_id} for d in shown]},
        }
        return document | ({"paused": True} if job.paused else {})

    def _transfer(self, each: Started) -> dict[str, Any]:
        return {
            "transferId": f"t-{each.delivery_id}"[:40],
            "state": each.end_state if each.is_over else "IN_PROGRESS",
            "metadata": {"deliveryId": each.delivery_id, "isRetry": False},
            "transferProgress": self._progress(each),
            "source": {"url": "https://storage.example/secret"},
        }

    def _progress(self, each: Started) -> dict[str, Any]:
        passed = asyncio.get_running_loop().time() - each.began
        part = 1.0 if each.is_over else passed / each.seconds
        total = sum(spec.get("sizeInBytes", 0) for spec in each.objects)
        done = int(part * len(each.objects)) - (each.failed if each.is_over else 0)
        return {
            "transferred": {"count": done, "bytes": int(total * part)},
            "skipped": {"count": 0, "bytes": 0},
            "failed": {"count": each.failed if each.is_over else 0, "bytes": 0},
        }
