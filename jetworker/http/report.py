"""What a worker tells of itself: probes, status, and the metrics known only on asking."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jetworker.config.model import Config
from jetworker.core.command import CommandId
from jetworker.core.delivery import Delivery, State
from jetworker.core.finished import Remembered
from jetworker.core.route import Route
from jetworker.runtime.clock import Clock
from jetworker.runtime.metrics import Metrics
from jetworker.wire import times, units
from jetworker.worker.assembly import VERSION, Parts

_OUTCOMES = ("accepted", "applied", "rejected", "duplicate")
_ENDS = ("completed", "failed", "cancelled")
_LATE = 5.0  # seconds


@dataclass(frozen=True, slots=True)
class Report:
    """The parts that know, and how they are told."""

    parts: Parts
    config: Config
    metrics: Metrics
    clock: Clock
    is_stopping: Callable[[], bool]

    def live(self) -> Mapping[str, str | None]:
        """Only whether every loop makes progress: Jet and Kafka may be down."""
        return self.parts.watchdog.stuck()

    def ready(self) -> Mapping[str, str | None]:
        """Whether commands are taken and can be carried out."""
        worker, jet = self.parts.worker, self.parts.jet
        behind = sorted(worker.assigned - worker.lives.keys())
        is_late = self.parts.watchdog.lag > _LATE
        return {
            "group": worker.deafness
            or (None if worker.has_joined else "the group is not joined yet"),
            "partitions": f"not restored yet: {behind}" if behind else None,
            "state": _hindered(worker.hindrances),
            "token": None if jet.has_signed_in else "no token was obtained yet",
            "loop": "the event loop is late" if is_late else None,
            "running": "the worker is stopping" if self.is_stopping() else None,
        }

    def refresh(self) -> None:
        """Set the gauges that are only known when somebody looks."""
        seen = self.parts.follower.oldest_seen() or self.clock.now()
        self.metrics.oldest_status_timestamp_seconds.set(seen.timestamp())
        self.metrics.partitions_assigned.set(len(self.parts.worker.assigned))
        worker = self.parts.worker
        # After a growth a partition is live and waits: an alert is to see that too.
        served = worker.lives.keys() - worker.hindrances.keys()
        self.metrics.partitions_restored.set(len(served))
        lost = [
            each
            for each in self.parts.worker.hindrances.values()
            if each.startswith("state lost")
        ]
        self.metrics.state_lost_partitions.set(len(lost))
        self.metrics.ready.set(not any(self.ready().values()))

    def status(self) -> dict[str, Any]:
        """Return what the worker as a whole is doing."""
        parts, lives = self.parts, self.parts.worker.lives.values()
        finished = parts.counts.finished
        expiry = parts.jet.token_ends_at
        return {
            "version": VERSION,
            "group": self.config.kafka.group_id,
            "partitions": sorted(parts.worker.assigned),
            "checks": {**self.live(), **self.ready(), "routes": parts.book.error},
            "totals": {
                "open": parts.counts.total,
                "held": parts.counts.in_state(State.HELD),
                "failed": sum(ends["failed"] for ends in finished.values()),
                "waiting": parts.starter.waiting(),
                "followed": len(parts.follower),
                "remembered": sum(len(life.memory) for life in lives),
            },
            "routes": [self._route(route) for route in parts.book.routes.values()],
            "sinceStart": {
                "commands": {
                    outcome: parts.counts.commands[outcome] for outcome in _OUTCOMES
                },
                "finished": {
                    name: {end: finished[name][end] for end in _ENDS}
                    for name in parts.book.routes
                },
                "events": parts.counts.events,
                "tokenExpiresAt": times.encode(expiry) if expiry else None,
            },
        }

    def _route(self, route: Route) -> dict[str, Any]:
        return {
            "route": route.name,
            "job": self.parts.resolver.known(route),
            "open": self.parts.counts.open_on(route.name),
            "limit": route.max_active,
            **self.parts.starter.describe(route.name),
        }

    def deliveries(
        self, filters: Mapping[str, str], offset: int, limit: int
    ) -> tuple[int, list[dict[str, Any]]]:
        """
        Return how many open deliveries fit, and some of them, oldest first.

        Filters: route, state, text (part of the command's id).
        """
        found = sorted(self._matching(filters), key=lambda d: d.accepted_at)
        shown = found[offset : offset + limit]
        return len(found), [self._row(delivery) for delivery in shown]

    def delivery(self, command_id: str) -> dict[str, Any] | None:
        """Return what is known of one command."""
        for life in self.parts.worker.lives.values():
            known = life.known(CommandId(command_id))
            if isinstance(known, Delivery):
                return self._row(known) | {"partition": life.partition}
            if isinstance(known, Remembered):
                return {
                    "commandId": command_id,
                    "state": known.state,
                    "deliveryId": known.delivery_id,
                    "finishedAt": times.encode(known.finished_at),
                    "partition": life.partition,
                }
        return None

    def _matching(self, filters: Mapping[str, str]) -> Iterator[Delivery]:
        for life in self.parts.worker.lives.values():
            for delivery in list(life.deliveries.values()):
                if filters.get("route", delivery.route) != delivery.route:
                    continue
                if filters.get("state", delivery.state) != delivery.state:
                    continue
                if filters.get("text", "") in delivery.command_id:
                    yield delivery

    def _row(self, delivery: Delivery) -> dict[str, Any]:
        reason = delivery.reason
        due = self.parts.follower.next_due(delivery.command_id)
        return {
            "commandId": delivery.command_id,
            "route": delivery.route,
            "state": delivery.state,
            "reason": f"{reason.code}: {reason.message}" if reason else None,
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
    said = f"{moved.count} of {delivery.requested.count} objects, "
    if total:
        said += f"{min(100, 100 * moved.bytes // total)} %, "
    said += units.size(moved.bytes) + (f" of {units.size(total)}" if total else "")
    if delivery.started_at is not None and moved.bytes:
        seconds = max(1.0, (now - delivery.started_at).total_seconds())
        said += f", {units.size(int(moved.bytes / seconds))}/s"
    return said
