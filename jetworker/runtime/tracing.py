"""Whether spans are made for OpenTelemetry: off, and not even imported, unless asked for."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

import structlog

from jetworker.core.delivery import Event

log = structlog.get_logger()

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_HTTP = "http/protobuf"


class Tracing(Protocol):
    """Makes spans of the steps of deliveries."""

    def tell(self, event: Event, now: datetime) -> None:
        """Make the spans that end with a step that is durable."""

    def close(self) -> None:
        """Export what is left, for a short time only."""


def open_tracing(environ: Mapping[str, str], version: str) -> Tracing | None:
    """
    Return what makes spans, None unless OpenTelemetry's own variables ask for it.

    https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
    """
    if not any(environ.get(name) for name in _ENDPOINTS) or _is_off(environ):
        return None
    protocol = next((environ[name] for name in _PROTOCOLS if environ.get(name)), _HTTP)
    if protocol != _HTTP:
        log.warning(
            "no spans are made: only http/protobuf is spoken", protocol=protocol
        )
        return None
    try:
        from jetworker.runtime.spans import Spans  # noqa: PLC0415 -- an extra
    except ImportError:
        log.warning("no spans are made: pip install 'jetworker[otel]'")
        return None
    return Spans.exported(environ, version)


def _is_off(environ: Mapping[str, str]) -> bool:
    return (
        environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
        or environ.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp"
    )
