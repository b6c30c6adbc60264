"""The endpoints under `/_sandbox/`: the ledger, the faults and the tuning."""

from collections.abc import Callable
from typing import Any

import orjson
from aiohttp import web

from jetworker.sandbox.jet import bodies, tuning
from jetworker.sandbox.jet.faults import Faults
from jetworker.sandbox.jet.ledger import Ledger
from jetworker.sandbox.jet.operations import Operations
from jetworker.sandbox.jet.refusal import Refused
from jetworker.sandbox.jet.world import World

_HELP = """The jetworker sandbox: Signiant Jet's API over local folders.

GET    /_sandbox/ledger[?since=N]   every request and creation
GET    /_sandbox/faults             the faults that are set
POST   /_sandbox/faults             set one: {"operation", "kind", ...}
DELETE /_sandbox/faults             clear them
GET    /_sandbox/settings           the tuning
POST   /_sandbox/settings           change it
POST   /_sandbox/deliveries         a foreign delivery: {"job", "objects"}
"""


class Controls:
    """What a test reads and changes while the sandbox runs; no token is needed."""

    def __init__(
        self, world: World, ledger: Ledger, faults: Faults, operations: Operations
    ) -> None:
        self._world = world
        self._entries = ledger
        self._faults = faults
        self._operations = operations

    def add_to(self, app: web.Application) -> None:
        """Add the endpoints to the server."""
        add = app.router.add_route
        add("GET", "/_sandbox/", _help)
        add("GET", "/_sandbox/ledger", _control(self._ledger))
        add("GET", "/_sandbox/faults", _control(self._list_faults))
        add("POST", "/_sandbox/faults", _control(self._add_fault))
        add("DELETE", "/_sandbox/faults", _control(self._clear_faults))
        add("GET", "/_sandbox/settings", _control(self._tuning))
        add("POST", "/_sandbox/settings", _control(self._tune))
        add("POST", "/_sandbox/deliveries", _control(self._foreign))

    def _ledger(self, request: web.Request, _body: bytes) -> bodies.Json:
        return self._entries.since(int(request.query.get("since", "0")))

    def _list_faults(self, _request: web.Request, _body: bytes) -> bodies.Json:
        return self._faults.encode()

    def _add_fault(self, _request: web.Request, body: bytes) -> bodies.Json:
        self._faults.add(bodies.decode(body))
        return self._faults.encode()

    def _clear_faults(self, _request: web.Request, _body: bytes) -> bodies.Json:
        self._faults.active.clear()
        return self._faults.encode()

    def _tuning(self, _request: web.Request, _body: bytes) -> bodies.Json:
        return tuning.encode(self._world.tuning)

    def _tune(self, _request: web.Request, body: bytes) -> bodies.Json:
        self._world.tune(tuning.decode(bodies.decode(body), self._world.tuning))
        return tuning.encode(self._world.tuning)

    def _foreign(self, _request: web.Request, body: bytes) -> bodies.Json:
        fields = bodies.decode(body)
        job = self._world.job(bodies.required(fields, "job", bodies.TEXT))
        objects = bodies.required(fields, "objects", bodies.LIST)
        return {"deliveryId": self._operations.start(job, objects, None).delivery_id}


def json_answer(value: bodies.Json, status: int = 200) -> web.Response:
    """Return an answer in JSON."""
    return web.Response(
        body=orjson.dumps(value), status=status, content_type="application/json"
    )


def _control(
    act: Callable[[web.Request, bytes], bodies.Json],
) -> Callable[[web.Request], Any]:
    async def handle(request: web.Request) -> web.Response:
        try:
            return json_answer(act(request, await request.read()))
        except (Refused, ValueError) as refused:
            return json_answer({"message": str(refused)}, 400)

    return handle


async def _help(_request: web.Request) -> web.Response:
    return web.Response(text=_HELP)
