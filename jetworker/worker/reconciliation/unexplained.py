"""What is on a job and no command's: each is counted once in a worker's life."""

import structlog

from jetworker.core.command import CommandId, DeliveryId, RouteName
from jetworker.runtime.metrics import Metrics

log = structlog.get_logger()


class Unexplained:
    """The deliveries that nobody asked for, whichever part of a worker came upon them."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._told: dict[DeliveryId, CommandId | None] = {}

    def is_told(self, delivery_id: DeliveryId) -> bool:
        """Whether one was told."""
        return delivery_id in self._told

    def tell(
        self,
        route: RouteName,
        delivery_id: DeliveryId,
        left_behind_by: CommandId | None = None,
    ) -> None:
        """Count and log one; log it again where only now it is known who left it."""
        if delivery_id not in self._told:
            self._metrics.unexplained_deliveries_total.labels(route).inc()
        elif left_behind_by is None or self._told[delivery_id] is not None:
            return
        self._told[delivery_id] = left_behind_by
        log.error(
            "a delivery that nobody asked for is on a job, see who started it",
            route=route,
            delivery_id=delivery_id,
            **({"left_behind_by": left_behind_by} if left_behind_by else {}),
        )
