"""What a worker tells of itself: probes, status, and the metrics known only on asking."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, assert_never

from jetworker.config.model import Config
from jetworker.core.command import CommandId
from jetworker.core.delivery import Delivery
from jetworker.core.finished import Remembered
from jetworker.core.route import Route
from jetworker.runtime.clock import Clock
from jetworker.runtime.metrics import Metrics
from jetworker.wire import times, units
from jetworker.worker.assembly import VERSION
from jetworker.worker.standing import Standing

_OUTCOMES = ("accepted", "applied", "rejected", "duplicate")
_ENDS = ("completed", "failed", "cancelled")
_LATE = 5.0  # seconds


@dataclass(frozen=True, slots=True)
class Report:
    """What is told of a worker, and how."""

    worker: Standing
    config: Config
    metrics: Metrics
    clock: Clock
    is_stopping: Callable[[], bool]

    def live(self) -> Mapping[str, str | None]:
        """Only whether every loop makes progress: Jet and Kafka may be down."""
        return self.worker.stuck()

    def ready(self) -> Mapping[str, str | None]:
        """Whether commands are taken and can be carried out."""
        worker = self.worker
        behind = sorted(worker.assigned() - worker.restored())
        return {
            "group": worker.joining(),
            "partitions": f"not restored yet: {behind}" if behind else None,
            "state": _hindered(worker.hindrances()),
            "token": None if worker.has_signed_in() else "no token was obtained yet",
            "loop": "the event loop is late" if worker.lag() > _LATE else None,
            "running": "the worker is stopping" if self.is_stopping() else None,
        }

    def refresh(self) -> None:
        """Set the gauges that are only known when somebody looks."""
        worker, hindrances = self.worker, self.worker.hindrances()
        seen = worker.oldest_seen() or self.clock.now()
        self.metrics.oldest_status_timestamp_seconds.set(seen.timestamp())
        self.metrics.partitions_assigned.set(len(worker.assigned()))
        # After a growth a partition is live and waits: an alert is to see that too.
        served = worker.restored() - hindrances.keys()
        self.metrics.partitions_restored.set(len(served))
        lost = [each for each in hindrances.values() if each.startswith("state lost")]
        self.metrics.state_lost_partitions.set(len(lost))
        self.metrics.ready.set(not any(self.ready().values()))

    def status(self) -> dict[str, Any]:
        """Return what the worker as a whole is doing."""
        worker, expiry = self.worker, self.worker.token_ends_at()
        routes = list(worker.routes())
        return {
            "version": VERSION,
            "group": self.config.kafka.group_id,
            "partitions": sorted(worker.assigned()),
            "checks": {**self.live(), **self.ready(), "routes": worker.routes_error()},
            "totals": dict(worker.totals()),
            "routes": [self._route(route) for route in routes],
            "sinceStart": {
                "commands": {
                    outcome: worker.answered(outcome) for outcome in _OUTCOMES
                },
                "finished": {
                    route.name: {end: worker.ended(route.name, end) for end in _ENDS}
                    for route in routes
                },
                "events": worker.told(),
                "tokenExpiresAt": times.encode(expiry) if expiry else None,
            },
        }

    def _route(self, route: Route) -> dict[str, Any]:
        limit = {"route": route.name, "limit": route.max_active}
        return {**limit, **self.worker.route(route)}

    def deliveries(
        self, filters: Mapping[str, str], offset: int, limit: int
    ) -> tuple[int, list[dict[str, Any]]]:
        """
        Return how many open deliveries fit, and some of them, oldest first.

        Filters: route, state, text (part of the command's id).
        """
        found = sorted(
            self._matching(filters), key=lambda delivery: delivery.accepted_at
        )
        shown = found[offset : offset + limit]
        return len(found), [self._row(delivery) for delivery in shown]

    def delivery(self, command_id: str) -> dict[str, Any] | None:
        """Return what is known of one command."""
        partition, known = self.worker.known(CommandId(command_id))
        match known:
            case None:
                return None
            case Delivery():
                return self._row(known) | {"partition": partition}
            case Remembered():
                return {
                    "commandId": command_id,
                    "state": known.state,
                    "deliveryId": known.delivery_id,
                    "finishedAt": times.encode(known.finished_at),
                    "partition": partition,
                }
            case _:
                assert_never(known)

    def _matching(self, filters: Mapping[str, str]) -> Iterator[Delivery]:
        for delivery in self.worker.deliveries():
            if filters.get("route", delivery.route) != delivery.route:
                continue
            if filters.get("state", delivery.state) != delivery.state:
                continue
            if filters.get("text", "") in delivery.command_id:
                yield delivery

    def _row(self, delivery: Delivery) -> dict[str, Any]:
        reason = delivery.reason
        due = self.worker.next_due(delivery.command_id)
        return {
            "commandId": delivery.command_id,
            "route": delivery.route,
            "state": delivery.state,
            "reason": f"{reason.code}: {reason.message}" if reason else None,
            "waitsFor": (
                self.worker.waits_for(delivery.route)
                if delivery.state.is_startable
                else None
            ),
            "jetState": delivery.jet_state,
            "progress": _progress(delivery, self.clock.now()),
            "age": units.span(self.clock.now() - delivery.accepted_at),
            "nextQuestion": None if due is None else f"in {due:.1f} s",
            "deliveryId": delivery.delivery_id,
            "jobId": delivery.job_id,
            "attempt": delivery.attempt,
            "sequence": delivery.sequence,
            "acceptedAt": times.encode(delivery.accepted_at),
        }


def _hindered(hindrances: Mapping[int, str]) -> str | None:
    """Say what keeps partitions from being served, each reason once."""
    by_reason: defaultdict[str, list[int]] = defaultdict(list)
    for number, reason in sorted(hindrances.items()):
        by_reason[reason].append(number)
    told = [f"{reason}: partitions {numbers}" for reason, numbers in by_reason.items()]
    return "; ".join(told) or None


def _progress(delivery: Delivery, now: datetime) -> str | None:
    """Return what is moved, its share and the rate since the start."""
    if delivery.progress is None:
        return None
    moved, total = delivery.progress.transferred, delivery.requested.bytes
    said = f"{moved.count} of {units.counted(delivery.requested.count, 'object')}, "
    if total:
        said += f"{min(100, 100 * moved.bytes // total)} %, "
    said += units.size(moved.bytes) + (f" of {units.size(total)}" if total else "")
    if delivery.started_at is not None and moved.bytes:
        seconds = max(1.0, (now - delivery.started_at).total_seconds())
        said += f", {units.size(int(moved.bytes / seconds))}/s"
    return said
