"""Spans: off unless asked for, and then one tree for each command, in its own trace."""

import asyncio
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, Sampler
from structlog.testing import capture_logs

from jetworker.core.delivery import Event, EventType, Reason, ReasonCode, State
from jetworker.runtime.spans import Ids, Spans
from jetworker.runtime.tracing import open_tracing
from tests.support.builders import DELIVERY, JOB, NOW, a_delivery

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = f"{PARENT[:-2]}00"
HELD = Reason(ReasonCode.HELD, "not decided")
STEPS: tuple[tuple[EventType, dict[str, Any], int], ...] = (
    (EventType.ACCEPTED, {}, 1),
    (EventType.UNCERTAIN, {"state": State.HELD, "reason": HELD}, 3),
    (EventType.STARTED, {"delivery_id": DELIVERY, "job_id": JOB}, 4),
    (EventType.PROGRESSED, {}, 6),
    (EventType.COMPLETED, {"state": State.COMPLETED}, 9),
)


def making(sampler: Sampler | None = None) -> tuple[Spans, InMemorySpanExporter]:
    ids, exported = Ids(), InMemorySpanExporter()
    provider = TracerProvider(sampler, id_generator=ids, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exported))
    return Spans(provider, ids), exported


def told(*tellers: Spans, traceparent: str | None) -> None:
    """Tell the steps of one delivery, in turn to each worker that has it."""
    for number, (kind, changes, after) in enumerate(STEPS):
        delivery = replace(
            a_delivery(),
            commanded_at=NOW,
            accepted_at=NOW + timedelta(seconds=1),
            traceparent=traceparent,
            **changes,
        )
        teller = tellers[number * len(tellers) // len(STEPS)]
        teller.tell(Event(kind, delivery), NOW + timedelta(seconds=after))


def times(spans: tuple[ReadableSpan, ...]) -> list[tuple[str, float, float]]:
    """Return names, begins and ends in seconds, in the order in which they were made."""
    began = NOW.timestamp()

    def seconds(nanoseconds: int | None) -> float:
        return (nanoseconds or 0) / 1e9 - began

    return [
        (
            each.name,
            round(seconds(each.start_time), 6),
            round(seconds(each.end_time), 6),
        )
        for each in spans
    ]


def test_a_command_s_way_is_one_tree_in_the_trace_that_it_came_with() -> None:
    spans, exported = making()

    told(spans, traceparent=PARENT)

    made = exported.get_finished_spans()
    assert times(made) == [
        ("read", 0, 1),
        ("held", 3, 3),
        ("start", 1, 4),
        ("poll", 4, 6),
        ("poll", 6, 9),
        ("deliver", 0, 9),
    ]
    *children, whole = made
    assert whole.parent is not None
    assert f"{whole.parent.span_id:x}" == PARENT.split("-")[2]
    assert {f"{each.context.trace_id:032x}" for each in made} == {PARENT.split("-")[1]}
    parents = {each.parent.span_id for each in children if each.parent}
    assert parents == {whole.context.span_id}
    assert len({each.context.span_id for each in made}) == len(made)
    assert (whole.attributes or {})["jetworker.command_id"] == "c-1"
    assert (children[1].attributes or {})["jetworker.reason"] == "held"


@pytest.mark.parametrize("traceparent", [None, "no traceparent"])
def test_without_a_trace_of_its_own_it_gets_one_that_a_successor_knows_too(
    traceparent: str | None,
) -> None:
    (first, before), (second, after) = making(), making()

    told(first, second, traceparent=traceparent)

    made = before.get_finished_spans() + after.get_finished_spans()
    assert before.get_finished_spans()
    *children, whole = made
    assert (whole.name, whole.parent) == ("deliver", None)
    assert {each.parent and each.parent.span_id for each in children} == {
        whole.context.span_id
    }
    assert {each.context.trace_id for each in made} == {whole.context.trace_id}


def test_a_delivery_that_failed_is_an_error_with_its_reason() -> None:
    spans, exported = making()
    reason = Reason(ReasonCode.EXPIRED, "too late")
    failed = a_delivery(State.FAILED, reason=reason, traceparent=PARENT)

    spans.tell(Event(EventType.FAILED, failed), NOW)

    (whole,) = exported.get_finished_spans()
    assert (whole.status.is_ok, whole.status.description) == (False, "expired")


@pytest.mark.parametrize(
    ("sampler", "traceparent"),
    [(None, UNSAMPLED), (ParentBased(ALWAYS_OFF), None)],
    ids=["by the command", "by the sampler"],
)
def test_what_is_not_sampled_has_no_span_at_all(
    sampler: Sampler | None, traceparent: str | None
) -> None:
    spans, exported = making(sampler)

    told(spans, traceparent=traceparent)

    assert exported.get_finished_spans() == ()


OFF: list[dict[str, str]] = [
    {},
    {"OTEL_SERVICE_NAME": "x"},
    {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "true"},
    {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_TRACES_EXPORTER": "none"},
]


@pytest.mark.parametrize("environ", OFF, ids=repr)
def test_it_is_off_unless_the_variables_of_opentelemetry_ask_for_it(
    environ: Mapping[str, str],
) -> None:
    assert open_tracing(environ, "1") is None


def test_a_protocol_that_is_not_spoken_is_told() -> None:
    asked = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:4317",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
    }
    with capture_logs() as logged:
        assert open_tracing(asked, "1") is None
    assert [each["protocol"] for each in logged] == ["grpc"]


WORKER_IS_LOADED = """
import sys
import jetworker.cli.run
from jetworker.runtime.tracing import open_tracing
assert open_tracing({}, "1") is None
print([name for name in sys.modules if name.startswith("opentelemetry")])
sys.modules["opentelemetry"] = None
assert open_tracing({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, "1") is None
"""


def test_a_worker_that_is_not_asked_imports_nothing_and_one_without_the_extra_runs() -> (
    None
):
    done = subprocess.run(
        [sys.executable, "-c", WORKER_IS_LOADED],
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )

    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "[]"), done.stderr
    assert "jetworker[otel]" in done.stdout + done.stderr


async def test_spans_arrive_where_the_variables_say() -> None:
    arrived: asyncio.Queue[bytes] = asyncio.Queue()

    async def collect(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        arrived.put_nowait(head.split(b"\r\n")[0] + await reader.readexactly(length))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(collect, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    script = """
import json, os
from jetworker.runtime.tracing import open_tracing
from tests.runtime.test_tracing import told, PARENT
tracing = open_tracing(os.environ, "1.2.3")
told(tracing, traceparent=PARENT)
tracing.close()
"""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script),
        env={"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"},
    )

    body = await asyncio.wait_for(arrived.get(), 60)
    assert await process.wait() == 0
    server.close()

    assert body.startswith(b"POST /v1/traces")
    for word in (b"deliver", b"poll", b"service.name", b"jetworker", b"1.2.3"):
        assert word in body
