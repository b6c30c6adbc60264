"""A worker that makes spans, on a real Kafka, for a collector that dies."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from tests.support.invariants import judge
from tests.support.system import System, a_command
from tests.support.waiting import until

pytestmark = pytest.mark.integration

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@asynccontextmanager
async def collecting() -> AsyncIterator[tuple[str, list[Any]]]:
    """Receive spans by OTLP over HTTP; yields where, and what has come."""
    spans: list[Any] = []

    async def take(request: web.Request) -> web.Response:
        told = ExportTraceServiceRequest.FromString(await request.read())
        for resource in told.resource_spans:
            for scope in resource.scope_spans:
                spans.extend(scope.spans)
        return web.Response()

    app = web.Application()
    app.router.add_post("/v1/traces", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", spans
    finally:
        await runner.cleanup()


def otlp(endpoint: str) -> dict[str, str]:
    """Return what an operator sets."""
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "200"}


async def test_a_command_s_trace_goes_on_to_its_end_and_a_dead_collector_stops_nothing(
    system: System,
) -> None:
    system.jet.seconds = 1.0
    async with collecting() as (endpoint, spans):
        worker = await (await system.worker(**otlp(endpoint))).ready()
        parent = f"00-{TRACE}-{SPAN}-01".encode()
        await system.publish(a_command("traced"), traceparent=parent)

        async def has_ended() -> bool:
            return any(each.name == "deliver" for each in spans)

        await until(has_ended, "the span of the whole way")

    (whole,) = [each for each in spans if each.name == "deliver"]
    assert {each.trace_id.hex() for each in spans} == {TRACE}
    assert whole.parent_span_id.hex() == SPAN
    parts = [each for each in spans if each is not whole]
    assert {each.parent_span_id for each in parts} == {whole.span_id}
    ordered = sorted(parts, key=lambda each: int(each.end_time_unix_nano))
    names = [each.name for each in ordered]
    assert names == ["read", "start"] + ["poll"] * (len(names) - 2)
    assert len(names) > 2
    (ended,) = [e for e in await system.events() if e.kind == "delivery.completed"]
    told = {x.key: x.value.string_value for x in whole.attributes}
    assert told["jetworker.command_id"] == "traced"
    assert told["jetworker.delivery_id"] == ended.data["deliveryId"]

    untold = [a_command(f"untold-{n}") for n in range(5)]
    await system.publish(*untold)
    events = await system.terminal(1 + len(untold))
    judge(events, [a_command("traced"), *untold], system.jet)
    assert (await worker.get("/livez")).status_code == 200
    assert await worker.stop() == 0
