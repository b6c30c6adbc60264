"""The way to the simulated Jet: httpx's transport, at whose far end there is no socket."""

import asyncio
from contextlib import AbstractContextManager, nullcontext

import httpx
import orjson
from typing_extensions import override

from jetworker.jet.connection import Handover, handover, leaving
from tests.simulation.documents import http_date
from tests.simulation.jet import Jet
from tests.simulation.node import Node
from tests.simulation.reply import Reply


class Transport(httpx.AsyncBaseTransport):
    """Carries the requests of one node; a start asks its guard before it leaves."""

    def __init__(self, jet: Jet, node: Node) -> None:
        self._jet = jet
        self._node = node
        self._held: dict[str, float] = {}

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Carry one request there and its answer back."""
        node = self._node
        content = await request.aread()
        await node.gate()
        current = handover.get()
        is_start = current is not None and request.url.path != "/oauth/token"
        if is_start and node.luck.random() < self._jet.weather.lost / 2:
            raise httpx.ConnectError("connection refused")
        label = "start" if is_start else f"{request.method} {request.url.path[:8]}"
        operation = _operation(request)

        note = leaving.get()
        way = self._jet.way() if is_start else None

        def enter() -> None:
            if note is not None:
                note()
            if is_start:
                assert current is not None
                current.begin(way)  # type: ignore[arg-type]  # all that is asked of it

        def leave() -> None:
            if is_start:
                assert current is not None
                _pass_on(current)
                self._jet.leaves(node, request.url.path, content)
            early = self._held.get(operation, 0.0) - asyncio.get_running_loop().time()
            if early > 0:
                self._jet.hasty.append(f"{node.name}: {operation} {early:.3f} s early")

        def apply() -> Reply:
            if way is not None and not way.arrives(node):
                return Reply(0, is_lost=True)
            return self._jet.handle(
                node.name,
                request.method,
                request.url.raw_path.decode(),
                content,
                request.headers.get("authorization", "").removeprefix("Bearer "),
                is_slow=way is not None,
            )

        with self._noted(request, content) if is_start else nullcontext():
            reply = await node.call(
                label,
                apply,
                enter=enter,
                leave=leave,
                outlives=self._jet.weather.slack / 2,
                takes=way.seconds if way is not None else None,
            )
            if reply.is_lost:
                await asyncio.sleep(node.luck.choice((0.0, 60.0)))
                raise httpx.ReadError("connection reset")
        self._hold(operation, reply)
        return _response(reply)

    def _noted(
        self, request: httpx.Request, content: bytes
    ) -> AbstractContextManager[None]:
        job_id = request.url.path.split("/")[3]
        paths = {each["relativePath"] for each in orjson.loads(content)["objects"]}
        return self._jet.in_flight.one(self._node.name, job_id, paths)

    def _hold(self, operation: str, reply: Reply) -> None:
        """Take note of what the node is told to wait for, from now on."""
        if reply.patience:
            until = asyncio.get_running_loop().time() + reply.patience
            self._held[operation] = max(self._held.get(operation, 0.0), until)


def _pass_on(current: Handover) -> None:
    """Give the kernel the first byte, as a socket does."""
    try:
        current.pass_on()
    except ConnectionAbortedError as exc:
        raise httpx.ConnectError(str(exc)) from exc


def _operation(request: httpx.Request) -> str:
    """Return what kind of call it is: a job's own document, one of its, all of its."""
    parts = request.url.path.split("/")
    return f"{request.method} {'/'.join(parts[4:5])} {len(parts)}"


def _response(reply: Reply) -> httpx.Response:
    content = reply.body if isinstance(reply.body, str) else orjson.dumps(reply.body)
    headers = {"date": http_date()}
    response = httpx.Response(
        reply.status, content=content, headers=headers | reply.headers
    )
    response.headers.encoding = "ascii"  # found out anew at every look, else
    return response
