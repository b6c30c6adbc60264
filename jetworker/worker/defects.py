"""Telling of a defect of ours: counted, and one line without what it fell over."""

from typing import Literal, TypeAlias

import structlog

from jetworker.runtime.logs import trace
from jetworker.runtime.metrics import Metrics

log = structlog.get_logger()

Where: TypeAlias = Literal["record", "delivery"]

MESSAGE = "the worker failed on it, which is a defect to be reported"


def report(
    metrics: Metrics, where: Where, what: str, exc: Exception, **about: object
) -> None:
    """
    Count a defect and say *what* became of whom, with where it was raised.

    Never with what the error says: it may quote a record, and a secret in it.
    """
    metrics.internal_errors_total.labels(where).inc()
    log.error(
        what,
        **{name: value for name, value in about.items() if value is not None},
        about=f"{type(exc).__qualname__} {sorted(map(str, about.values()))}",
        error=type(exc).__qualname__,
        trace=trace(exc),
    )
