"""How a worker stands: all that others may ask of it, and nothing that changes it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jetworker.core.admission import Known
from jetworker.core.command import CommandId, JobId, RouteName
from jetworker.core.delivery import Delivery, State
from jetworker.core.route import Route
from jetworker.jet.client import JetClient
from jetworker.jet.jobs import JobResolver
from jetworker.runtime.watchdog import Watchdog
from jetworker.worker.delivery_counts import DeliveryCounts
from jetworker.worker.following.follower import Follower
from jetworker.worker.route_table import RouteTable
from jetworker.worker.starts.starter import Starter
from jetworker.worker.worker import Worker


@dataclass(frozen=True, slots=True)
class Standing:
    """Asks the parts that know."""

    worker: Worker
    starter: Starter
    follower: Follower
    counts: DeliveryCounts
    resolver: JobResolver
    route_table: RouteTable
    watchdog: Watchdog
    jet: JetClient

    def stuck(self) -> Mapping[str, str | None]:
        """Return what stands in the way of progress, by loop; None: nothing."""
        return self.watchdog.stuck()

    def lag(self) -> float:
        """Return by how many seconds the event loop is late."""
        return self.watchdog.lag

    def joining(self) -> str | None:
        """Return why no records come from the group; None: they can."""
        outside = None if self.worker.has_joined else "the group is not joined yet"
        return self.worker.deafness or outside

    def assigned(self) -> frozenset[int]:
        """Return the partitions that are ours."""
        return self.worker.assigned

    def restored(self) -> frozenset[int]:
        """Return those whose deliveries are known."""
        return frozenset(self.worker.lives)

    def hindrances(self) -> Mapping[int, str]:
        """Return what keeps partitions from being served."""
        return self.worker.hindrances

    def has_signed_in(self) -> bool:
        """Whether a token was obtained once."""
        return self.jet.has_signed_in

    def token_ends_at(self) -> datetime | None:
        """Return when the token ends, None without one."""
        return self.jet.token_ends_at

    def oldest_seen(self) -> datetime | None:
        """Return when the most stale open delivery was last seen."""
        return self.follower.oldest_seen()

    def next_due(self, command_id: CommandId) -> float | None:
        """Return in how many seconds a delivery is asked for, None if it is not."""
        return self.follower.next_due(command_id)

    def totals(self) -> Mapping[str, int]:
        """Return how many deliveries there are, of each kind that a page shows."""
        return {
            "open": self.counts.total,
            "held": self.counts.in_state(State.HELD),
            "failed": sum(ends["failed"] for ends in self.counts.finished.values()),
            "waiting": self.starter.waiting(),
            "followed": len(self.follower),
            "remembered": sum(len(life.memory) for life in self.worker.lives.values()),
        }

    def answered(self, outcome: str) -> int:
        """Return how many records were answered so since the start."""
        return self.counts.commands[outcome]

    def ended(self, route: RouteName, outcome: str) -> int:
        """Return how many deliveries of a route have ended so since the start."""
        return self.counts.finished[route][outcome]

    def told(self) -> int:
        """Return how many events were published since the start."""
        return self.counts.events

    def routes(self) -> Iterator[Route]:
        """Yield the routes as they are now."""
        yield from self.route_table.routes.values()

    def routes_error(self) -> str | None:
        """Return what is wrong with the routes file, None if nothing is."""
        return self.route_table.error

    def route(self, route: Route) -> Mapping[str, Any]:
        """Return how a route stands: its job, what is open on it, and what waits."""
        return {
            "job": self._job(route),
            "open": self.counts.open_on(route.name),
            **self.starter.describe(route.name),
        }

    def waits_for(self, name: RouteName) -> str:
        """Return what keeps those that wait on a route from being started just now."""
        found = self.starter.describe(name)
        awaited = f", behind {found['awaited']}" if found["awaited"] else ""
        return found["obstacle"] or f"its turn{awaited}"

    def _job(self, route: Route) -> JobId | None:
        return self.resolver.known(route)

    def deliveries(self) -> Iterator[Delivery]:
        """Yield every open delivery."""
        for life in list(self.worker.lives.values()):
            yield from list(life.deliveries.values())

    def known(self, command_id: CommandId) -> tuple[int, Known]:
        """Return what is known of a command, and on which partition (-1 if nothing)."""
        for life in self.worker.lives.values():
            known = life.known(command_id)
            if known is not None:
                return life.partition, known
        return -1, None
