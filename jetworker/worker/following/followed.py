"""What is known of what is followed: of each delivery, and of the job that it is on."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from jetworker.core.command import DeliveryId, JobId, TransferId
from jetworker.core.delivery import Transfer
from jetworker.core.observation import JetTransfer
from jetworker.core.polling import Denied, Speed, Told, as_listed, in_order
from jetworker.core.trigger import StatusObserved
from jetworker.worker.handle import DeliveryHandle

_LONG_AGO = -1e9  # seconds


@dataclass(slots=True, eq=False)
class FollowedDelivery:
    """One delivery that is followed; times are monotonic seconds, but for *seen_at*."""

    handle: DeliveryHandle
    job_id: JobId
    delivery_id: DeliveryId
    began: float
    due: float  # when it is asked for next
    asked_at: float  # when Jet's word on the delivery itself last came
    seen_at: datetime  # when anything of it did, by the wall clock

    # The questions: *queued_for* is where it stands in the schedule, never later than
    # *due*; None while the listings of its job tell how it is. *tried_at* is when a
    # question was last begun, *failures* are those in a row.
    queued_for: float | None = None
    tried_at: float = float("-inf")
    is_asking: bool = False
    failures: int = 0

    # The answers: *shown* is the state in the last one, *told* what was told of them,
    # *seen* how fast it is, *grew_at* when a listing last showed that more had moved.
    shown: str | None = None
    told: Told = field(default_factory=Told)
    seen: Speed = field(default_factory=Speed)
    grew_at: float = float("-inf")

    # What is left open: *denied* are Jet's own 404s in a row, *asks* counts the further
    # questions about a delivery that Jet has ended while a transfer still looks alive.
    # *is_overtaken*: a listing came while Jet was asked about the delivery itself; no
    # other is heard until that is answered.
    denied: Denied | None = None
    asks: int = 0
    is_overtaken: bool = False

    # What notifications said: *named_at* is when one named it that no answer has borne
    # out yet, *hinted_at* when one did that is worth a question at once, *resumes* when
    # it would have been asked without that (infinity: by the job's next listing), None
    # where no question was brought forward. *is_announced*: Jet's answers bear out what
    # notifications say of it.
    named_at: float | None = None
    hinted_at: float | None = None
    resumes: float | None = None
    is_announced: bool = False

    # What listings showed: *heard* is what the last one without news showed of it,
    # *heard_at* when. *listed* is the number of the job's listing that showed it last, 0
    # for none, *has_left* that a later one did not; *is_listed*: it has just been shown,
    # so that its transfers need no question. *indexed* are the transfers by which a
    # listing that names no delivery finds it.
    heard: tuple[JetTransfer, ...] = ()
    heard_at: float = 0.0
    listed: int = 0
    has_left: bool = False
    is_listed: bool = False
    indexed: tuple[Transfer, ...] = ()

    @property
    def is_left_open(self) -> bool:
        """Whether Jet's last word on the delivery left open how it stands."""
        return bool(self.asks) or self.denied is not None or self.is_overtaken

    @property
    def wants_jets_word(self) -> bool:
        """Whether only Jet's word on the delivery itself is of use now."""
        return self.is_left_open or self.hinted_at is not None

    def observe(
        self, seen: StatusObserved, now: float
    ) -> "asyncio.Future[None] | None":
        """Tell what came just now, unless what was asked later has come before."""
        self.count_heard()
        self.told, fresh = in_order(self.told, seen, now)
        return None if fresh is None else self.handle.apply(fresh)

    def hear(self, transfers: tuple[JetTransfer, ...], now: float) -> None:
        """Take note of a listing without news; of two of the same transfers, the later."""
        is_same = len(self.heard) == len(transfers) and all(
            a.transfer_id == b.transfer_id
            for a, b in zip(self.heard, transfers, strict=True)
        )
        if not is_same:
            self.count_heard()
        self.heard, self.heard_at = transfers, now

    def count_heard(self) -> None:
        """Let the last listing without news count in the order of what is told."""
        if self.heard:
            self.told = as_listed(self.told, self.heard, self.heard_at)
            self.heard = ()


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
    deliveries: dict[DeliveryId, FollowedDelivery] = field(default_factory=dict)
    relying: dict[DeliveryId, FollowedDelivery] = field(default_factory=dict)
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

    def drop(self, followed: FollowedDelivery) -> None:
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
