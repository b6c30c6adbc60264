"""One partition's life without a Kafka."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import cast

from prometheus_client import CollectorRegistry

from jetworker.core.command import RouteName
from jetworker.core.route import Route
from jetworker.core.transitions import Policy
from jetworker.kafka.state_store import StateStore
from jetworker.runtime.clock import Clock
from jetworker.runtime.metrics import Metrics
from jetworker.wire import snapshots
from jetworker.wire.answers import Answers
from jetworker.wire.events import Envelope
from jetworker.wire.snapshots import Snapshot
from jetworker.worker.deliveries import Deliveries, PartitionOptions
from jetworker.worker.delivery_counts import DeliveryCounts
from jetworker.worker.services import Services
from tests.support.fakes import HandClock, Performer, Written


@dataclass
class Life:
    """Who serves it does nothing; all that it writes is durable at once."""

    store: Written = field(default_factory=Written)
    starter: Performer = field(default_factory=Performer)
    follower: Performer = field(default_factory=Performer)
    reconciler: Performer = field(default_factory=Performer)
    sweep: Performer = field(default_factory=Performer)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    clock: Clock = field(default_factory=HandClock)
    routes: Mapping[RouteName, Route] = field(default_factory=dict)
    deliveries: str | None = None

    def __post_init__(self) -> None:
        self.metrics = Metrics(self.registry)
        self.counts = DeliveryCounts(self.metrics)
        services = Services(
            starter=self.starter,
            follower=self.follower,
            reconciler=self.reconciler,
            noted=self.sweep.touch,
            counts=self.counts,
            metrics=self.metrics,
            clock=self.clock,
        )
        envelope = Envelope("jet.events", "/jetworker/g", self.deliveries)
        options = PartitionOptions(
            policy=Policy(),
            envelope=envelope,
            answers=Answers(envelope, "jet.dead-letters"),
            state_topic="jet.state",
            max_objects=10,
            max_waiting_bytes=1 << 20,
            lease=timedelta(seconds=30),
            dedupe_window=timedelta(days=7),
            routes=lambda: self.routes,
        )
        self.partition = Deliveries(3, cast(StateStore, self.store), options, services)

    @property
    def snapshots(self) -> list[Snapshot]:
        """What was written to the state topic since."""
        return [
            snapshots.decode(record.value or b"")
            for write in self.store.writes
            for record in write.records
            if record.topic == "jet.state"
        ]
