"""The sandbox's HTTP server: ledger, token and fault before every operation."""

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import orjson
from aiohttp import web

from jetworker.sandbox.jet import bodies
from jetworker.sandbox.jet.controls import Controls, json_answer
from jetworker.sandbox.jet.faults import Fault, Faults
from jetworker.sandbox.jet.ledger import Ledger, Request
from jetworker.sandbox.jet.operations import Call, Operations
from jetworker.sandbox.jet.refusal import Refused
from jetworker.sandbox.jet.settings import SandboxSettings
from jetworker.sandbox.jet.tokens import Tokens
from jetworker.sandbox.jet.world import World

_JOB = "/v1/jobs/{job}"
_ROUTES = (
    ("POST", "/oauth/token", "token"),
    ("GET", "/v1/storageProfiles", "list_profiles"),
    ("POST", "/v1/storageProfiles/search", "search_profiles"),
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
    ("GET", "/v1/subscriptions", "list_subscriptions"),
    ("POST", "/v1/subscriptions", "subscribe"),
    ("DELETE", "/v1/subscriptions/{subscription}", "unsubscribe"),
    ("*", "/v1/{rest:.*}", "unknown"),
)
_HUGE = 80 << 20


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
        self._operations.write_down(self.world.restored)
        app = web.Application(client_max_size=32 << 20)
        for method, path, operation in _ROUTES:
            app.router.add_route(method, path, self._handler(operation))
        Controls(self.world, self.ledger, self.faults, self._operations).add_to(app)
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
                answer = json_answer({"message": "a fault was set"}, fault.status)
                if fault.retry_after is not None:
                    answer.headers["Retry-After"] = fault.retry_after
                call.entry.status = fault.status
                return answer
            case Fault(kind="lost_before"):
                return _hang_up(request)
            case Fault(kind="late_apply"):
                self._apply_late(operation, request, call, fault.seconds)
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
            return json_answer(self._operations.find(operation)(call))
        except Refused as refused:
            return json_answer({"message": refused.message}, refused.status)

    def _apply_late(
        self, operation: str, request: web.Request, call: Call, seconds: float
    ) -> None:
        async def apply() -> None:
            await asyncio.sleep(seconds)
            self._apply(operation, request, call)

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
            whole = answer.body if isinstance(answer.body, bytes) else b"{}"
            return json_answer(_ponder(orjson.loads(whole)), answer.status)
        case _:
            return answer


def _ponder(shown: bodies.Json) -> bodies.Json:
    """Make every state that is shown, alone or in a list, one that nobody knows."""
    pondering = {"state": "PONDERING"} if "state" in shown else {}
    items = [_ponder(each) for each in shown.get("items", ())]
    return shown | pondering | ({"items": items} if items else {})
