"""How many deliveries are open, by route and state: for limits and for the gauge."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import assert_never

from prometheus_client import Gauge

from jetworker.core.command import RouteName
from jetworker.core.delivery import Delivery, EventType, ReasonCode, State
from jetworker.core.observation import Progress, Tally
from jetworker.core.transitions import Transition
from jetworker.runtime.metrics import Metrics


class DeliveryCounts:
    """
    Counts of one worker, over all its partitions.

    *waiting_bytes* is what the objects of commands that wait take in memory.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._open: Counter[RouteName] = Counter()
        self._states: Counter[State] = Counter()
        self._active: dict[tuple[RouteName, State], Gauge] = {}
        self.commands: Counter[str] = Counter()
        self.finished: defaultdict[RouteName, Counter[str]] = defaultdict(Counter)
        self.events = 0
        self.waiting_bytes = 0

    def open_on(self, route: RouteName) -> int:
        """Return how many deliveries of *route* are open (`State.is_open`)."""
        return self._open[route]

    @property
    def total(self) -> int:
        """How many deliveries are open, over all routes."""
        return self._open.total()

    def in_state(self, state: State) -> int:
        """Return how many deliveries are in a state that is not an end."""
        return self._states[state]

    def answered(self, outcome: str, reason: str | None = None) -> None:
        """Count a record by its answer, once that is durable."""
        self.commands[outcome] += 1
        self._metrics.commands_total.labels(outcome).inc()
        if outcome != "accepted":
            self._publish(f"command.{outcome}")
        if reason is not None:
            self._metrics.rejections_total.labels(reason).inc()

    def enter(self, delivery: Delivery) -> None:
        """Count a delivery in."""
        self._add(delivery.route, delivery.state, 1)

    def leave(self, delivery: Delivery) -> None:
        """Count a delivery out."""
        self._add(delivery.route, delivery.state, -1)

    def leave_all(self, deliveries: Iterable[Delivery]) -> None:
        """Count the deliveries of a life that is over out, however many, at once."""
        numbers = Counter((each.route, each.state) for each in deliveries)
        for (route, state), number in numbers.items():
            self._add(route, state, -number)

    def move(self, before: Delivery, after: Delivery) -> None:
        """Count a step from one state to the next."""
        if before.state is after.state:
            return
        self.leave(before)
        if not after.state.is_final:
            self.enter(after)

    def count(self, before: Delivery | None, step: Transition) -> None:
        """Count what a committed step published."""
        for event in step.events:
            self._publish(event.type.value)
            self._count_event(event.type, before, event.delivery)

    def _publish(self, kind: str) -> None:
        self.events += 1
        self._metrics.events_published_total.labels(kind).inc()

    def _count_event(
        self, kind: EventType, before: Delivery | None, after: Delivery
    ) -> None:
        match kind:
            case EventType.STARTED:
                self._count_started(before, after)
            case EventType.COMPLETED | EventType.FAILED | EventType.CANCELLED:
                self._count_finished(before, after)
            case EventType.PROGRESSED:
                self._count_moved(before, after)
            case EventType.UNCERTAIN:
                if after.reason and after.reason.code is ReasonCode.HELD:
                    self._count_resolved(after, "held")
            case (
                EventType.ACCEPTED
                | EventType.WAITING
                | EventType.TRANSFER_PROGRESSED
                | EventType.TRANSFER_COMPLETED
                | EventType.TRANSFER_FAILED
                | EventType.TRANSFER_CANCELLED
            ):
                pass
            case _:
                assert_never(kind)

    def _count_started(self, before: Delivery | None, after: Delivery) -> None:
        if before is not None and before.delivery_id == after.delivery_id:
            return  # it was held for a defect of ours, and is followed on
        how = "adopted" if after.adopted else "posted"
        self._metrics.deliveries_started_total.labels(after.route, how).inc()
        if after.adopted:
            self._count_resolved(after, "adopted")
        if before is not None and after.started_at is not None:
            waited = (after.started_at - after.commanded_at).total_seconds()
            self._metrics.start_latency_seconds.labels(after.route).observe(
                max(0.0, waited)
            )

    def _count_finished(self, before: Delivery | None, after: Delivery) -> None:
        outcome = after.state.value
        self._metrics.deliveries_finished_total.labels(after.route, outcome).inc()
        self.finished[after.route][outcome] += 1
        if after.state is State.FAILED and after.reason is not None:
            self._metrics.failures_total.labels(after.route, after.reason.code).inc()
        self._count_moved(before, after)
        if after.reason and after.reason.code is ReasonCode.ABANDONED:
            self._count_resolved(after, "abandoned")
        if after.started_at is not None and after.finished_at is not None:
            took = (after.finished_at - after.started_at).total_seconds()
            self._metrics.delivery_duration_seconds.labels(
                after.route, outcome
            ).observe(max(0.0, took))

    def _count_moved(self, before: Delivery | None, after: Delivery) -> None:
        old = (before and before.progress) or Progress()
        new = after.progress or Progress()
        moved = _grown(old.transferred, new.transferred)
        if moved.bytes:
            self._metrics.transferred_bytes_total.labels(after.route).inc(moved.bytes)
        if moved.count:
            self._metrics.transferred_objects_total.labels(after.route).inc(moved.count)

    def _count_resolved(self, delivery: Delivery, resolution: str) -> None:
        self._metrics.uncertain_starts_total.labels(delivery.route, resolution).inc()

    def resent(self, delivery: Delivery) -> None:
        """Count a start that is sent again after an unknown one."""
        self._count_resolved(delivery, "resent")

    def _add(self, route: RouteName, state: State, number: int) -> None:
        if state.is_open:
            self._open[route] += number
        self._states[state] += number
        gauge = self._active.get((route, state))
        if gauge is None:
            gauge = self._metrics.deliveries_active.labels(route, state)
            self._active[route, state] = gauge
        gauge.inc(number)


def _grown(old: Tally, new: Tally) -> Tally:
    return Tally(max(0, new.count - old.count), max(0, new.bytes - old.bytes))
