"""Every metric: name, unit, labels. Labels are bounded, never an id or a path."""

from collections.abc import Iterable
from functools import cache
from typing import TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)

from jetworker.core.command import Rejection
from jetworker.core.delivery import EventType, ReasonCode, State
from jetworker.core.resumption import Cause
from jetworker.core.witness import Proof

_CALLS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_WAITS = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_COMMITS = (0.0025, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30)
_STARTS = (0.1, 0.25, 0.5, 1, 5, 15, 60, 300, 900)
_DELIVERIES = (10, 30, 60, 300, 900, 1800, 3600, 7200, 14400, 43200, 86400)

OPERATIONS = (
    "token",
    "list_profiles",
    "search_jobs",
    "list_jobs",
    "get_job",
    "create_job",
    "set_paused",
    "start_delivery",
    "get_delivery",
    "list_transfers",
    "get_transfer",
    "list_files",
    "list_subscriptions",
    "subscribe",
    "unsubscribe",
)
# The reasons with which a delivery fails; the others are why it waits or is uncertain.
FAILURES = (
    ReasonCode.JET_FAILED,
    ReasonCode.JET_CANCELLED,
    ReasonCode.OBJECTS_FAILED,
    ReasonCode.REJECTED_BY_JET,
    ReasonCode.JOB_NOT_FOUND,
    ReasonCode.JOB_PAUSED,
    ReasonCode.EXPIRED,
    ReasonCode.DELIVERY_NOT_FOUND,
    ReasonCode.ABANDONED,
    ReasonCode.DEADLINE_EXCEEDED,
    ReasonCode.INTERNAL_ERROR,
)
_ANSWERS = ("rejected", "duplicate", "applied")
_Labelled = TypeVar("_Labelled", Counter, Gauge, Histogram)


def _quick(metric: _Labelled) -> _Labelled:
    """
    Let `labels` find a known series with one look; some twenty are counted a delivery.

    Not for a metric whose series are removed: the one that is gone would be found.
    """
    vars(metric)["labels"] = cache(metric.labels)
    return metric


class Metrics:
    """The metrics of one worker, each under the name that it is published by."""

    def __init__(self, registry: CollectorRegistry, version: str = "") -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # theirs has no types
        self.registry = registry
        self._commands()
        self._deliveries()
        self._starts()
        self._following()
        self._jet()
        self._kafka()
        self._process(version)

    def declare_routes(self, routes: Iterable[str]) -> None:
        """Make the series of every route before its first event."""
        for route in routes:
            for how in ("posted", "adopted"):
                self.deliveries_started_total.labels(route, how)
            for outcome in ("completed", "failed", "cancelled"):
                self.deliveries_finished_total.labels(route, outcome)
                self.delivery_duration_seconds.labels(route, outcome)
            for reason in FAILURES:
                self.failures_total.labels(route, reason.value)
            for state in State:
                if not state.is_final:
                    self.deliveries_active.labels(route, state)
            for resolution in ("adopted", "resent", "held", "abandoned"):
                self.uncertain_starts_total.labels(route, resolution)
            self.start_latency_seconds.labels(route)
            self.transferred_bytes_total.labels(route)
            self.transferred_objects_total.labels(route)
            self.unexplained_deliveries_total.labels(route)
            self._declare_doubts(route)

    def _declare_doubts(self, route: str) -> None:
        for proof in Proof:
            self.held_starts_total.labels(route, proof)
        for statement in ("exclusive", "listing"):
            self.refuted_statements_total.labels(route, statement)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        made = Counter(f"jetworker_{name}", text, labels, registry=self.registry)
        return _quick(made)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"jetworker_{name}", text, labels, registry=self.registry)

    def _histogram(
        self, name: str, text: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        made = Histogram(
            f"jetworker_{name}", text, labels, registry=self.registry, buckets=buckets
        )
        return _quick(made)

    def _commands(self) -> None:
        self.commands_total = self._counter(
            "commands_total", "Records of the commands topic, by answer.", "outcome"
        )
        for outcome in ("accepted", "applied", "rejected", "duplicate"):
            self.commands_total.labels(outcome)
        self.events_published_total = self._counter(
            "events_published_total", "Events published, by type.", "type"
        )
        self.rejections_total = self._counter(
            "rejections_total", "Records that were rejected, by reason.", "reason"
        )
        for reason in Rejection:
            self.rejections_total.labels(reason.value)
        self.internal_errors_total = self._counter(
            "internal_errors_total",
            "Defects of ours, by what was set aside for one.",
            "where",
        )
        for where in ("record", "delivery"):
            self.internal_errors_total.labels(where)
        for kind in EventType:
            self.events_published_total.labels(kind)
        for answer in _ANSWERS:
            self.events_published_total.labels(f"command.{answer}")

    def _deliveries(self) -> None:
        self.deliveries_started_total = self._counter(
            "deliveries_started_total", "Deliveries started at Jet.", "route", "how"
        )
        self.deliveries_finished_total = self._counter(
            "deliveries_finished_total", "Deliveries that ended.", "route", "outcome"
        )
        self.failures_total = self._counter(
            "failures_total", "Deliveries that failed, by reason.", "route", "reason"
        )
        active = "deliveries_active"
        self.deliveries_active = _quick(
            self._gauge(active, "Deliveries that have not ended.", "route", "state")
        )
        self.delivery_duration_seconds = self._histogram(
            "delivery_duration_seconds",
            "From started to the end.",
            _DELIVERIES,
            "route",
            "outcome",
        )

    def _starts(self) -> None:
        self.start_latency_seconds = self._histogram(
            "start_latency_seconds",
            "From the command's timestamp to started.",
            _STARTS,
            "route",
        )
        self.uncertain_starts_total = self._counter(
            "uncertain_starts_total",
            "What became of starts whose outcome was unknown.",
            "route",
            "resolution",
        )
        self.clock_disagreements_total = self._counter(
            "clock_disagreements_total",
            "Deliveries whose date cannot be reconciled with Jet's own clock.",
        )
        self.held_starts_total = self._counter(
            "held_starts_total",
            "Unknown starts that were held, by the proof that was missing.",
            "route",
            "proof",
        )
        self.refuted_statements_total = self._counter(
            "refuted_statements_total",
            "Statements of a route about its job that Jet contradicted.",
            "route",
            "statement",
        )
        self.unexplained_deliveries_total = self._counter(
            "unexplained_deliveries_total",
            "Deliveries seen on a job after an unknown start that nobody asked for; each"
            " worker that looks after the job counts one once, anew after a restart.",
            "route",
        )

    def _following(self) -> None:
        self.jet_unknown_states_total = self._counter(
            "jet_unknown_states_total",
            "Polls that showed a delivery in a state that this version does not know.",
        )
        self.transferred_bytes_total = self._counter(
            "transferred_bytes_total", "Bytes that Jet transferred.", "route"
        )
        self.transferred_objects_total = self._counter(
            "transferred_objects_total", "Objects that Jet transferred.", "route"
        )
        self.notifications_total = self._counter(
            "notifications_total",
            "Deliveries that notifications named, by whether they are followed here;"
            " and requests that were refused.",
            "outcome",
        )
        for outcome in ("followed", "unfollowed", "refused"):
            self.notifications_total.labels(outcome)
        self.oldest_status_timestamp_seconds = self._gauge(
            "oldest_status_timestamp_seconds",
            "When the most stale open delivery was last seen.",
        )

    def _jet(self) -> None:
        self.jet_requests_total = self._counter(
            "jet_requests_total", "Requests to Jet.", "operation", "outcome"
        )
        self.jet_request_duration_seconds = self._histogram(
            "jet_request_duration_seconds",
            "How long Jet took to answer.",
            _CALLS,
            "operation",
        )
        for operation in OPERATIONS:
            self.jet_request_duration_seconds.labels(operation)
            for outcome in ("200", "timeout", "connect_error"):
                self.jet_requests_total.labels(operation, outcome)
        self.jet_budget_wait_seconds = self._histogram(
            "jet_budget_wait_seconds", "How long calls waited for the budget.", _WAITS
        )
        self.token_expiry_timestamp_seconds = self._gauge(
            "token_expiry_timestamp_seconds", "When the token ends."
        )
        self.routes_reloads_total = self._counter(
            "routes_reloads_total", "Times the routes file was read again.", "outcome"
        )
        for outcome in ("applied", "rejected"):
            self.routes_reloads_total.labels(outcome)
        self.routes_valid = self._gauge(
            "routes_valid", "Whether the routes file is valid as it is now."
        )
        self.routes_valid.set(1)

    def _kafka(self) -> None:
        self.kafka_transactions_total = self._counter(
            "kafka_transactions_total",
            "Transactions, by what became of them.",
            "outcome",
        )
        for outcome in ("committed", "aborted", "fenced"):
            self.kafka_transactions_total.labels(outcome)
        self.kafka_commit_duration_seconds = self._histogram(
            "kafka_commit_duration_seconds", "How long a transaction took.", _COMMITS
        )
        self.partitions_assigned = self._gauge(
            "partitions_assigned", "Partitions of the commands topic that are ours."
        )
        self.partitions_restored = self._gauge(
            "partitions_restored", "Partitions of ours that are restored and live."
        )
        self.restore_duration_seconds = self._histogram(
            "restore_duration_seconds", "From the fence to the first record.", _CALLS
        )
        self.rebalances_total = self._counter(
            "rebalances_total", "Times the group gave us partitions."
        )

        self.input_gaps_total = self._counter(
            "input_gaps_total", "Times commands were not read on in order.", "cause"
        )
        for cause in Cause:
            self.input_gaps_total.labels(cause)
        self.commands_skipped_total = self._counter(
            "commands_skipped_total", "Offsets that retention took unread."
        )
        self.commands_lag = self._gauge(
            "commands_lag", "Readable commands that are not taken yet.", "partition"
        )
        self.state_lost_partitions = self._gauge(
            "state_lost_partitions", "Partitions of ours whose state is lost."
        )

    def _process(self, version: str) -> None:
        self.ready = self._gauge(
            "ready", "Whether the worker is ready, as /readyz says: 0 or 1."
        )
        self.event_loop_lag_seconds = self._gauge(
            "event_loop_lag_seconds", "How late the event loop last woke up."
        )
        self.build_info = self._gauge("build_info", "Which version runs.", "version")
        self.build_info.labels(version).set(1)
