"""The sandbox's HTTP server: ledger, token and fault before every operation."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import orjson
from aiohttp import web

from jetworker.sandbox import bodies, tuning
from jetworker.sandbox.faults import Fault, Faults
from jetworker.sandbox.ledger import Ledger, Request
from jetworker.sandbox.operations import Call, Operations
from jetworker.sandbox.refusal import Refused
from jetworker.sandbox.settings import SandboxSettings
from jetworker.sandbox.tokens import Tokens
from jetworker.sandbox.world import World

_JOB = "/v1/jobs/{job}"
_ROUTES = (
    ("POST", "/oauth/token", "token"),
    ("GET", "/v1/storageProfiles", "list_profiles"),
    ("POST", "/v1/storageProfiles/search", "list_profiles"),
    ("GET", "/v1/jobs", "list_jobs"),
    ("POST", "/v1/jobs", "create_job"),
    ("POST", "/v1/jobs/search", "search_jobs"),
    ("GET", _JOB, "get_job"),
    ("PATCH", _JOB, "set_paused"),
    ("DELETE", _JOB, "delete_job"),
    ("POST", f"{_JOB}/deliveries", "start_delivery"),
    ("GET", f"{_JOB}/deliveries/{{delivery}}", "get_delivery"),
    ("GET", f"{_JOB}/transfers", "list_transfers"),
    ("GET", f"{_JOB}/transfers/{{transfer}}", "get_transfer"),
    ("GET", f"{_JOB}/files", "list_files"),
)
_HUGE = 80 << 20
_HELP = """The jetworker sandbox: Signiant Jet's API over local folders.

GET    /_sandbox/ledger[?since=N]   every request and creation
GET    /_sandbox/faults             the faults that are set
POST   /_sandbox/faults             set one: {"operation", "kind", ...}
DELETE /_sandbox/faults             clear them
GET    /_sandbox/settings           the tuning
POST   /_sandbox/settings           change it
POST   /_sandbox/deliveries         a foreign delivery: {"job", "objects"}
"""


class Sandbox:
    """A Jet API server; an async context manager."""

    def __init__(self, settings: SandboxSettings) -> None:
        self._settings = settings
        self._runner: web.AppRunner | None = None
        self._late: set[asyncio.Task[None]] = set()
        self.ledger = Ledger()
        self.faults = Faults(random.Random(settings.seed))  # noqa: S311 -- luck, not secrets
        self.base_url = ""

    async def __aenter__(self) -> Self:
        """Restore the world and listen."""
        clock = asyncio.get_running_loop().time
        self.world = World(self._settings)
        self._tokens = Tokens(self._settings, clock)
        self._operations = Operations(self.world, self.ledger, self._tokens)
        self.world.open()
        app = web.Application(client_max_size=32 << 20)
        for method, path, operation in _ROUTES:
            app.router.add_route(method, path, self._handler(operation))
        self._add_controls(app)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._settings.host, self._settings.port)
        await site.start()
        port = self._runner.addresses[0][1]
        self.base_url = f"http://{self._settings.host}:{port}"
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Stop listening and copying."""
        for task in self._late:
            task.cancel()
        if self._runner is not None:
            await self._runner.cleanup()
        await self.world.close()

    def _handler(self, operation: str) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.Response:
            body = await request.read()
            entry = self._enter(operation, request, body)
            call = Call(request.match_info, request.query, body, entry)
            fault = self.faults.strike(operation, entry.job)
            entry.fault = fault.kind if fault else None
            return await self._answer(operation, request, call, fault)

        return handle

    async def _answer(
        self, operation: str, request: web.Request, call: Call, fault: Fault | None
    ) -> web.Response:
        match fault:
            case Fault(kind="status"):
                answer = _json({"message": "a fault was set"}, fault.status)
                if fault.retry_after is not None:
                    answer.headers["Retry-After"] = fault.retry_after
                call.entry.status = fault.status
                return answer
            case Fault(kind="lost_before"):
                return _hang_up(request)
            case Fault(kind="late_apply"):
                self._apply_late(operation, call, fault.seconds)
                return _hang_up(request)
            case Fault(kind="delay"):
                await asyncio.sleep(fault.seconds)
            case Fault(kind="expire_tokens"):
                self._tokens.expire()
            case _:
                pass
        answer = self._apply(operation, request, call)
        if fault is not None and fault.kind == "lost_after":
            return _hang_up(request)
        call.entry.status = answer.status
        return await _spoil(request, answer, fault)

    def _apply(self, operation: str, request: web.Request, call: Call) -> web.Response:
        authorization = request.headers.get("Authorization")
        try:
            if operation != "token":
                self._tokens.check(authorization)
            return _json(self._operations.find(operation)(call))
        except Refused as refused:
            return _json({"message": refused.message}, refused.status)

    def _apply_late(self, operation: str, call: Call, seconds: float) -> None:
        async def apply() -> None:
            await asyncio.sleep(seconds)
            self._operations.find(operation)(call)

        task = asyncio.create_task(apply(), name="late")
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    def _enter(self, operation: str, request: web.Request, body: bytes) -> Request:
        peer = request.transport.get_extra_info("peername") if request.transport else ""
        secret = b"" if operation == "token" else body
        return self.ledger.request(
            datetime.now(UTC),
            secret,
            operation=operation,
            method=request.method,
            path=request.path,
            query=request.query_string,
            job=request.match_info.get("job"),
            delivery=request.match_info.get("delivery"),
            connection=str(peer),
        )

    def _add_controls(self, app: web.Application) -> None:
        add = app.router.add_route
        add("GET", "/_sandbox/", self._help)
        add("GET", "/_sandbox/ledger", self._control(self._ledger))
        add(
            "GET",
            "/_sandbox/faults",
            self._control(lambda _r, _b: self.faults.encode()),
        )
        add("POST", "/_sandbox/faults", self._control(self._add_fault))
        add("DELETE", "/_sandbox/faults", self._control(self._clear_faults))
        add("GET", "/_sandbox/settings", self._control(self._tuning))
        add("POST", "/_sandbox/settings", self._control(self._tune))
        add("POST", "/_sandbox/deliveries", self._control(self._foreign))

    def _control(
        self, act: Callable[[web.Request, bytes], bodies.Json]
    ) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.Response:
            try:
                return _json(act(request, await request.read()))
            except (Refused, ValueError) as refused:
                return _json({"message": str(refused)}, 400)

        return handle

    async def _help(self, _request: web.Request) -> web.Response:
        return web.Response(text=_HELP)

    def _ledger(self, request: web.Request, _body: bytes) -> bodies.Json:
        return self.ledger.since(int(request.query.get("since", "0")))

    def _add_fault(self, _request: web.Request, body: bytes) -> bodies.Json:
        self.faults.add(bodies.decode(body))
        return self.faults.encode()

    def _clear_faults(self, _request: web.Request, _body: bytes) -> bodies.Json:
        self.faults.active.clear()
        return self.faults.encode()

    def _tuning(self, _request: web.Request, _body: bytes) -> bodies.Json:
        return tuning.encode(self.world.tuning)

    def _tune(self, _request: web.Request, body: bytes) -> bodies.Json:
        self.world.tune(tuning.decode(bodies.decode(body), replace(self.world.tuning)))
        return tuning.encode(self.world.tuning)

    def _foreign(self, _request: web.Request, body: bytes) -> bodies.Json:
        fields = bodies.decode(body)
        job = self.world.job(bodies.required(fields, "job", bodies.TEXT))
        objects = bodies.required(fields, "objects", bodies.LIST)
        return {"deliveryId": self._operations.start(job, objects, None).delivery_id}


async def serve(
    settings: SandboxSettings, stopping: asyncio.Event, ready: Callable[[str], None]
) -> None:
    """Serve until *stopping*; *ready* is told the base URL."""
    async with Sandbox(settings) as sandbox:
        ready(sandbox.base_url)
        await stopping.wait()


def _hang_up(request: web.Request) -> web.Response:
    """Close the connection: whoever asked cannot know what came of it."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _spoil(
    request: web.Request, answer: web.Response, fault: Fault | None
) -> web.Response:
    match fault:
        case Fault(kind="garbage"):
            return web.Response(text="<html>oops", status=answer.status)
        case Fault(kind="huge"):
            return web.Response(body=b" " * _HUGE, status=answer.status)
        case Fault(kind="truncate"):
            whole = answer.body if isinstance(answer.body, bytes) else b""
            cut = web.StreamResponse(headers={"Content-Length": str(len(whole))})
            await cut.prepare(request)
            await cut.write(whole[: len(whole) // 2])
            return _hang_up(request)
        case Fault(kind="unknown_state"):
            shown = orjson.loads(
                answer.body if isinstance(answer.body, bytes) else b"{}"
            )
            return _json(shown | {"state": "PONDERING"}, answer.status)
        case _:
            return answer


def _json(value: bodies.Json, status: int = 200) -> web.Response:
    return web.Response(
        body=orjson.dumps(value), status=status, content_type="application/json"
    )
