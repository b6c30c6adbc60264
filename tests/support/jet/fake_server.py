"""An in-memory Jet over real HTTP, whose faults a test sets; it keeps every request."""

import asyncio
import random
import time
import uuid
from collections.abc import Callable
from typing import Any, Self

from aiohttp import web

from tests.support.jet.documents import Job, Started

Fault = Callable[[str, "JetServer"], "web.Response | str | None"]


class JetServer:
    """
    Jet for tests.

    *on_headers* is told of every request before its body is read, *on_applied* before
    it is answered.
    *fault* is asked before every request with the operation: a response is answered
    instead, "lost_before" and "lost_after" close the connection without or after
    applying, None goes on. *ended_at* is when each delivery was first shown to be over
    (Unix time). *delays* are seconds before anything about a job;
    with *lateness* a start is applied so many seconds after its answer was lost.
    *listing* is what a job's document shows (`listed`), *listings* of single jobs;
    *unfiled* are jobs of which no file is shown; of other files *files_at_once* are
    shown, and Jet says if there are more. *queued* are the seconds for which a
    delivery has not begun.
    """

    def __init__(self, seconds: float = 0.3) -> None:
        self.seconds = seconds
        self.jobs: dict[str, Job] = {}
        self.deliveries: dict[str, Started] = {}
        self.requests: list[tuple[float, str, str]] = []
        self.fault: Fault = lambda _operation, _server: None
        self.on_headers: Callable[[str], None] = lambda _operation: None
        self.on_applied: Callable[[str], None] = lambda _operation: None
        self.delays: dict[str, float] = {}
        self.lateness = 0.0
        self.ended_at: dict[str, float] = {}
        self.object_bytes: int | None = None
        self.listing = "all"
        self.listings: dict[str, str] = {}
        self.unfiled: set[str] = set()
        self.queued = 0.0
        self.shows_files = True
        self.files_at_once = 10**9
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
        add("POST", "/v1/jobs/search", self.search_jobs, name="search_jobs")
        add("GET", "/v1/jobs/{job}", self.get_job, name="get_job")
        add("PATCH", "/v1/jobs/{job}", self.set_paused, name="set_paused")
        base = "/v1/jobs/{job}"
        add("POST", f"{base}/deliveries", self.start_delivery, name="start_delivery")
        add("GET", f"{base}/deliveries/{{id}}", self.get_delivery, name="get_delivery")
        add("GET", f"{base}/transfers", self.list_transfers, name="list_transfers")
        add("GET", f"{base}/transfers/{{id}}", self.get_transfer, name="get_transfer")
        add("GET", f"{base}/files", self.list_files, name="list_files")
        add("*", "/v1/{rest:.*}", self.unknown, name="unknown")
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
        self.on_headers(operation)
        await request.read()
        fault = self.fault(operation, self)
        if isinstance(fault, web.Response):
            return fault
        if fault == "lost_before":
            return self._hang_up(request)
        if fault == "expire":
            self.tokens.clear()
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if operation != "token" and bearer not in self.tokens:
            return _refuse(401, "Unauthorized")
        if "job" in request.match_info and request.match_info["job"] not in self.jobs:
            return _refuse(404, "no such job")
        # The fault: so long an answer takes.
        await asyncio.sleep(self.delays.get(request.match_info.get("job", ""), 0.0))
        response: web.StreamResponse = await handler(request)
        self.on_applied(operation)
        return self._hang_up(request) if fault == "lost_after" else response

    def _hang_up(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    async def token(self, request: web.Request) -> web.Response:
        if (await request.json())["client_secret"] != self.secret:
            return _refuse(401, "invalid client")
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
        data = body["actions"][0]["data"]
        ends = [data[end]["storageProfileId"] for end in ("source", "destination")]
        job = self.add_job(body["name"])
        job.profiles = (ends[0], ends[1])
        return web.json_response(self._job(job))

    async def search_jobs(self, request: web.Request) -> web.Response:
        body = await request.json()
        text = body.get("query", {}).get("text", "").lower()
        found = [j.found() for j in self.jobs.values() if text in j.name.lower()]
        first = body.get("offset", 0)
        page = found[first : first + body.get("limit", 100)]
        return web.json_response({"items": page, "totalResultCount": len(found)})

    async def get_job(self, request: web.Request) -> web.Response:
        return web.json_response(self._job(self.jobs[request.match_info["job"]]))

    async def set_paused(self, request: web.Request) -> web.Response:
        job = self.jobs[request.match_info["job"]]
        paused = (await request.json()).get("paused")
        if not isinstance(paused, bool):
            return _refuse(400, "paused")
        job.paused = paused
        return web.json_response(self._job(job) | {"paused": job.paused})

    async def start_delivery(self, request: web.Request) -> web.Response:
        job = self.jobs[request.match_info["job"]]
        if job.paused:
            return _refuse(400, "job is paused")
        objects = (await request.json()).get("objects")
        if not objects or not all("relativePath" in each for each in objects):
            return _refuse(400, "objects")
        if self.lateness:
            loop = asyncio.get_running_loop()
            loop.call_later(self.lateness, self.start, job.job_id, objects)
            return self._hang_up(request)
        started = self.start(job.job_id, objects)
        answer = {"objects": objects, "deliveryId": started.delivery_id}
        return web.json_response(answer)

    def start(self, job_id: str, objects: list[dict[str, Any]]) -> Started:
        """Make a delivery, as the API or a person at the console does."""
        started = Started(
            str(uuid.uuid4()), job_id, objects, self.seconds, queued=self.queued
        )
        started.object_bytes = self.object_bytes
        self.deliveries[started.delivery_id] = started
        return started

    async def get_delivery(self, request: web.Request) -> web.Response:
        each = self.deliveries.get(request.match_info["id"])
        if each is None or each.job_id != request.match_info["job"]:
            return _refuse(404, "no such delivery")
        if each.is_over:
            self.ended_at.setdefault(each.delivery_id, time.time())
        return web.json_response(each.document())

    async def list_transfers(self, request: web.Request) -> web.Response:
        if request.query.get("state") != "IN_PROGRESS":
            return _refuse(400, "state")
        going_on = [each for each in self._of(request) if not each.is_over]
        return web.json_response({"items": [each.transfer() for each in going_on]})

    async def get_transfer(self, request: web.Request) -> web.Response:
        for each in self._of(request):
            if each.transfer_id == request.match_info["id"]:
                return web.json_response(each.transfer())
        return _refuse(404, "no such transfer")

    async def list_files(self, request: web.Request) -> web.Response:
        is_shown = request.match_info["job"] not in self.unfiled and self.shows_files
        shown = self._of(request) if is_shown else []
        items = [file for each in shown for file in each.files()]
        page = items[: self.files_at_once]
        return web.json_response({"items": page, "hasMore": len(page) < len(items)})

    async def unknown(self, _request: web.Request) -> web.Response:
        return _refuse(404, "Jet documents no such method and path")

    def _of(self, request: web.Request) -> list[Started]:
        job_id = request.match_info["job"]
        return [d for d in self.deliveries.values() if d.job_id == job_id]

    def _job(self, job: Job) -> dict[str, Any]:
        own = [d for d in self.deliveries.values() if d.job_id == job.job_id]
        listing = self.listings.get(job.job_id, self.listing)
        return job.document(listed(listing, own))


def listed(listing: str, own: list[Started]) -> list[Started]:
    """
    Return the deliveries that a job's document shows of its own.

    "all", "none", "latest", "running", "ended", "begun"; "newest:N", "oldest:N", "any:N"
    in the order of ids; "behind:S" is a view that is so many seconds old, "now and then"
    leaves out one in four, others at each look.
    """
    kind, _, number = listing.partition(":")
    match kind:
        case "none":
            return []
        case "latest":
            return own[-1:]
        case "newest":
            return own[-int(number) :]
        case "oldest":
            return own[: int(number)]
        case "running":
            return [each for each in own if not each.is_over]
        case "ended":
            return [each for each in own if each.is_over]
        case "begun":
            return [each for each in own if each.age >= each.queued]
        case "any":
            return sorted(own, key=lambda each: each.delivery_id)[: int(number)]
        case "now and then":
            return [each for each in own if random.random() < 0.75]
        case "behind":
            return [each for each in own if each.age >= float(number)]
        case _:
            return own


def _refuse(status: int, message: str) -> web.Response:
    return web.json_response({"message": message}, status=status)


def refuse_starts(operation: str, _: JetServer) -> web.Response | None:
    """Refuse every start, as a *fault*."""
    if operation != "start_delivery":
        return None
    return web.json_response({"message": "not allowed"}, status=403)
