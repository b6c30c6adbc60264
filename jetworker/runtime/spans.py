"""
Spans of a command's way, from its reading to its end, in the trace that it came with.

```
deliver          from the command's record to its terminal event
  read           until it was accepted
  start          from there until Jet's delivery was known
  poll           until the next progress was told, and so on
  waiting, uncertain, held     a moment, with its reason
```

A span is made when it ends, once the step that ends it is durable: none is told twice,
and none stays open in a worker that dies. So the one that all others are in is made last,
perhaps by another worker: its id is made of the command's, as is the trace's where the
command brought none.
"""

from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime
from hashlib import blake2b
from threading import Thread

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from typing_extensions import override

from jetworker.core.command import CommandId
from jetworker.core.delivery import Delivery, Event, EventType, State

_FLUSH = 2.0  # seconds
_MOST = 100_000  # deliveries whose last told progress is remembered
_NANOSECONDS = 1_000_000_000


class Ids(RandomIdGenerator):
    """Random ids, but for a span whose id was given."""

    def __init__(self) -> None:
        self.given: tuple[int, int] | None = None

    @override
    def generate_trace_id(self) -> int:
        return self.given[0] if self.given else super().generate_trace_id()

    @override
    def generate_span_id(self) -> int:
        return self.given[1] if self.given else super().generate_span_id()


class Spans:
    """Makes the spans of one worker."""

    def __init__(self, provider: TracerProvider, ids: Ids) -> None:
        self._provider = provider
        self._ids = ids
        self._tracer = provider.get_tracer("jetworker")
        self._told_at: OrderedDict[CommandId, datetime] = OrderedDict()

    @classmethod
    def exported(cls, environ: Mapping[str, str], version: str) -> "Spans":
        """Return what exports by OTLP, as the variables of OpenTelemetry say."""
        own = {"service.version": version}
        said = f"{environ.get('OTEL_RESOURCE_ATTRIBUTES', '')},"
        if not environ.get("OTEL_SERVICE_NAME") and "service.name=" not in said:
            own["service.name"] = "jetworker"
        ids = Ids()
        provider = TracerProvider(
            resource=Resource.create(own), id_generator=ids, shutdown_on_exit=False
        )
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        return cls(provider, ids)

    def tell(self, event: Event, now: datetime) -> None:
        """Make the spans that end with a step that is durable."""
        delivery = event.delivery
        match event.type:
            case EventType.ACCEPTED:
                self._child("read", delivery, delivery.commanded_at, now)
            case EventType.STARTED:
                self._child("start", delivery, delivery.accepted_at, now)
                self._remember(delivery.command_id, now)
            case EventType.PROGRESSED:
                polled = self._told_at.get(delivery.command_id, now)
                self._child("poll", delivery, polled, now)
                self._remember(delivery.command_id, now)
            case EventType.WAITING | EventType.UNCERTAIN:
                is_held = delivery.state is State.HELD
                name = "held" if is_held else delivery.published.value
                self._child(name, delivery, now, now)
            case EventType.COMPLETED | EventType.FAILED | EventType.CANCELLED:
                since = self._told_at.pop(delivery.command_id, None)
                if since is not None:
                    self._child("poll", delivery, since, now)
                self._whole(delivery, now)
            case _:
                pass  # of a transfer: part of what is polled

    def close(self) -> None:
        """Export what is left, for a short time only."""
        closing = Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(_FLUSH)

    def _remember(self, command_id: CommandId, now: datetime) -> None:
        self._told_at[command_id] = now
        self._told_at.move_to_end(command_id)
        if len(self._told_at) > _MOST:
            self._told_at.popitem(last=False)

    def _child(
        self, name: str, delivery: Delivery, since: datetime, until: datetime
    ) -> None:
        """Make a span within that of the whole way, which is made last."""
        parent = _parent(delivery)
        trace_id, span_id = _ids(delivery, parent)
        is_sampled = self._is_sampled(trace_id, parent)
        flags = TraceFlags(TraceFlags.SAMPLED if is_sampled else TraceFlags.DEFAULT)
        whole = SpanContext(trace_id, span_id, is_remote=True, trace_flags=flags)
        context = set_span_in_context(NonRecordingSpan(whole))
        self._make(name, delivery, context, since, until)

    def _whole(self, delivery: Delivery, until: datetime) -> None:
        parent = _parent(delivery)
        context = set_span_in_context(NonRecordingSpan(parent)) if parent else Context()
        self._ids.given = _ids(delivery, parent)
        try:
            self._make("deliver", delivery, context, delivery.commanded_at, until)
        finally:
            self._ids.given = None

    def _is_sampled(self, trace_id: int, parent: SpanContext | None) -> bool:
        """Whether the whole way will be: by its parent, or as its trace's id decides."""
        if parent is not None:
            return parent.trace_flags.sampled
        decided = self._provider.sampler.should_sample(None, trace_id, "deliver")
        return decided.decision is Decision.RECORD_AND_SAMPLE

    def _make(
        self,
        name: str,
        delivery: Delivery,
        context: Context,
        since: datetime,
        until: datetime,
    ) -> None:
        is_whole = name == "deliver"
        span = self._tracer.start_span(
            name,
            context,
            SpanKind.CONSUMER if is_whole else SpanKind.INTERNAL,
            _attributes(delivery),
            start_time=_nanoseconds(min(since, until)),
        )
        if is_whole and delivery.state is State.FAILED:
            span.set_status(StatusCode.ERROR, _code(delivery))
        span.end(_nanoseconds(until))


def _parent(delivery: Delivery) -> SpanContext | None:
    """Return the span that the command came with, None if it came with none."""
    if delivery.traceparent is None:
        return None
    carrier = {"traceparent": delivery.traceparent}
    found = TraceContextTextMapPropagator().extract(carrier, Context())
    context = get_current_span(found).get_span_context()
    return context if context.is_valid else None


def _ids(delivery: Delivery, parent: SpanContext | None) -> tuple[int, int]:
    """Return the ids of the trace and of the span of the whole way."""
    accepted = f"{delivery.command_id} {delivery.accepted_at.isoformat()}".encode()
    trace_id = parent.trace_id if parent else _hash(accepted, 16)
    return trace_id, _hash(accepted, 8)


def _hash(data: bytes, size: int) -> int:
    return int.from_bytes(blake2b(data, digest_size=size).digest()) or 1


def _attributes(delivery: Delivery) -> dict[str, str | int | bool]:
    found: dict[str, str | int | bool | None] = {
        "jetworker.command_id": delivery.command_id,
        "jetworker.route": delivery.route,
        "jetworker.state": delivery.published.value,
        "jetworker.delivery_id": delivery.delivery_id,
        "jetworker.job_id": delivery.job_id,
        "jetworker.attempt": delivery.attempt,
        "jetworker.adopted": delivery.adopted or None,
        "jetworker.reason": _code(delivery),
    }
    if delivery.progress is not None:
        found["jetworker.objects"] = delivery.progress.transferred.count
        found["jetworker.bytes"] = delivery.progress.transferred.bytes
    return {name: value for name, value in found.items() if value is not None}


def _code(delivery: Delivery) -> str | None:
    return delivery.reason.code.value if delivery.reason else None


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000) * (_NANOSECONDS // 1_000_000)
