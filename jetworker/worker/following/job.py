"""What is followed of one job, and when its transfers are listed next."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from jetworker.core.command import DeliveryId, JobId, TransferId
from jetworker.core.observation import JetTransfer
from jetworker.worker.following.poll import Followed

_LONG_AGO = -1e9


@dataclass(slots=True, eq=False)
class FollowedJob:
    """
    The deliveries of one job; times are monotonic seconds.

    *relying* are those that the next listing tells of; who is not in it is asked for by
    itself. *number* counts the listings, *wait* is the shortest time after the last that
    one whom it showed may be asked for again. Where Jet fails to list, that rests until
    *rests_until*, longer with each of the *failures*. *silences* counts the listings in a
    row that told of no delivery.
    """

    job_id: JobId
    deliveries: dict[DeliveryId, Followed] = field(default_factory=dict)
    relying: dict[DeliveryId, Followed] = field(default_factory=dict)
    due: float = float("inf")
    queued_for: float | None = None
    asked_at: float = _LONG_AGO
    is_listing: bool = False
    number: int = 0
    wait: float = float("inf")
    rests_until: float = _LONG_AGO
    failures: int = 0
    silences: int = 0
    _owners: dict[TransferId, DeliveryId] = field(default_factory=dict)

    def drop(self, followed: Followed) -> None:
        """Forget one, if it is followed here."""
        if self.deliveries.get(followed.delivery_id) is not followed:
            return
        del self.deliveries[followed.delivery_id]
        self.relying.pop(followed.delivery_id, None)
        for transfer in followed.indexed:
            self._owners.pop(transfer.transfer_id, None)

    def by_delivery(
        self, shown: Iterable[JetTransfer]
    ) -> dict[DeliveryId, list[JetTransfer]]:
        """Return what is shown of each delivery, whether or not the listing names it."""
        of: defaultdict[DeliveryId, list[JetTransfer]] = defaultdict(list)
        is_indexed = False
        for transfer in shown:
            owner = transfer.delivery_id or self._owners.get(transfer.transfer_id)
            if owner is None and not is_indexed:
                is_indexed = True
                self._index()
                owner = self._owners.get(transfer.transfer_id)
            if owner is not None:
                of[owner].append(transfer)
        return of

    def _index(self) -> None:
        """Take note of the transfers that deliveries have had since the last time."""
        for followed in self.deliveries.values():
            delivery = followed.handle.delivery
            if delivery is None or delivery.transfers is followed.indexed:
                continue
            for transfer in delivery.transfers:
                self._owners[transfer.transfer_id] = followed.delivery_id
            followed.indexed = delivery.transfers
