"""
Who is asked when: following every started delivery to its end, within one budget.

A job with several open deliveries is asked once for all transfers in progress; only a
delivery that is not among them (not begun, between batches, ended) is asked for by
itself, as all are while Jet gives no listing, and now and then the others too. A
listing that tells of nobody is asked for more rarely: the budget is for answers. Jet's
word on the delivery decides, however long a transfer is listed. Questions grow rarer
with age and come closer again towards the estimated end. When the budget is short,
answers get older and nothing else happens. A delivery that a notification names is asked
for at once, and those that none names may wait longer, as long as Jet's answers bear the
notifications out (`core.notified`).
"""

import asyncio
import heapq
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta

import structlog

from jetworker.core.command import CommandId, DeliveryId, JobId, TransferId
from jetworker.core.delivery import Delivery
from jetworker.core.errors import JetError, SetAside, StoreError
from jetworker.core.notified import Notified
from jetworker.core.observation import Hint, JetTransfer, is_final_in_jet
from jetworker.core.polling import Pace, estimate, of_listing
from jetworker.core.trigger import DeadlinePassed
from jetworker.runtime.clock import Clock, wait
from jetworker.runtime.metrics import Metrics
from jetworker.runtime.watchdog import Watchdog
from jetworker.worker import defects
from jetworker.worker.following.poll import Followed, Listing, StatusPoll
from jetworker.worker.handle import DeliveryHandle

log = structlog.get_logger()

_AT_ONCE = 32
_DENIED_AT_MOST = timedelta(seconds=30)
_REST_DOUBLINGS = 3
_EARLY = 1000  # notifications that came before the start's answer
_LISTED_AT_MOST = 10  # times the longest interval, without a word on the delivery


class Follower:
    """Follows the deliveries of all partitions of one worker."""

    def __init__(
        self,
        poll: StatusPoll,
        pace: Pace,
        clock: Clock,
        watchdog: Watchdog,
        metrics: Metrics,
    ) -> None:
        self._poll = poll
        self._pace = pace
        self._longest_unheard = pace.maximum.total_seconds() * _LISTED_AT_MOST
        self._clock = clock
        self._watchdog = watchdog
        self._metrics = metrics
        self._followed: dict[CommandId, Followed] = {}
        self._by_job: defaultdict[JobId, dict[DeliveryId, Followed]]
        self._by_job = defaultdict(dict)
        self._due: list[tuple[float, int, Followed]] = []
        self._ticket = 0
        self._listings: defaultdict[JobId, Listing] = defaultdict(Listing)
        self._notified: dict[JobId, Notified] = {}
        self._early: dict[Hint, None] = {}
        self._hinted_every = min(1.0, pace.minimum.total_seconds())
        self._wake = asyncio.Event()
        self._asking = 0

    def __len__(self) -> int:
        """Return how many are followed."""
        return len(self._followed)

    def take(self, handle: DeliveryHandle) -> None:
        """Follow a started delivery; again is no different from once."""
        delivery = handle.delivery
        if delivery is None or not delivery.state.is_followed:
            return
        known = self._followed.get(handle.command_id)
        if known is not None and known.handle.owner is handle.owner:
            return
        if known is not None:
            self._drop(known)
        assert delivery.job_id is not None
        assert delivery.delivery_id is not None
        now = self._clock.monotonic()
        ids = delivery.job_id, delivery.delivery_id
        followed = Followed(handle, *ids, now, now, now, self._clock.now())
        self._followed[handle.command_id] = followed
        self._by_job[followed.job_id][followed.delivery_id] = followed
        if Hint(*ids) in self._early:
            del self._early[Hint(*ids)]
            followed.hinted_at = now
            self._schedule(followed, 0.0)
            return
        self._schedule(followed, self._pace.first(self._clock.jitter()).total_seconds())

    def hint(self, hint: Hint) -> bool:
        """
        Ask for a delivery that a notification names; returns whether it is followed.

        At once, but once a second at most: it may be forged. One that is not followed
        yet is remembered for a while: Jet may be faster than we are.
        """
        now = self._clock.monotonic()
        notified = self._notified.get(hint.job_id)
        if notified is not None:
            self._notified[hint.job_id] = notified.announced(hint.delivery_id, now)
        followed = self._by_job.get(hint.job_id, {}).get(hint.delivery_id)
        if followed is None:
            self._early[hint] = None
            if len(self._early) > _EARLY:
                del self._early[next(iter(self._early))]
            return False
        followed.hinted_at = now
        if not followed.is_asking:
            earliest = followed.tried_at + self._hinted_every
            self._schedule(followed, max(0.0, min(followed.due, earliest) - now))
        return True

    def oldest_seen(self) -> datetime | None:
        """Return when the most stale delivery was last seen, None if none is open."""
        return min((each.seen_at for each in self._followed.values()), default=None)

    def next_due(self, command_id: CommandId) -> float | None:
        """Return the seconds until a delivery is asked for next."""
        followed = self._followed.get(command_id)
        if followed is None:
            return None
        return max(0.0, followed.due - self._clock.monotonic())

    async def run(self) -> None:
        """Ask for what is due, for ever; a bounded number of questions at once."""
        with self._watchdog.watching("follower") as turn:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    turn()
                    self._wake.clear()
                    for followed in self._take_due():
                        self._asking += 1
                        followed.is_asking = True
                        tasks.create_task(self._ask(followed))
                    await wait(self._wake, self._until_due())

    def _take_due(self) -> Iterable[Followed]:
        now = self._clock.monotonic()
        while self._due and self._due[0][0] <= now and self._asking < _AT_ONCE:
            at, _, followed = heapq.heappop(self._due)
            if followed.queued_for != at or not self._is_current(followed):
                continue  # it was asked sooner, or ended
            followed.queued_for = None
            if followed.due > at:
                self._queue(followed)  # put off since
            else:
                yield followed

    def _until_due(self) -> float:
        if not self._due or self._asking >= _AT_ONCE:
            return 1.0
        return min(1.0, max(0.0, self._due[0][0] - self._clock.monotonic()))

    async def _ask(self, followed: Followed) -> None:
        """Ask about one delivery; no error of it ever ends the questions of others."""
        followed.tried_at = self._clock.monotonic()
        try:
            delivery = followed.handle.delivery
            if delivery is None or not delivery.state.is_followed:
                self._drop(followed)
            elif self._is_overdue(delivery):
                await followed.handle.apply(DeadlinePassed())
            elif not await self._ask_for_many(followed):
                await self._ask_itself(followed, delivery)
        except JetError as exc:
            followed.failures += 1
            log.debug("a question failed, it is asked again", error=str(exc))
        except (StoreError, SetAside):
            self._drop(followed)
        except Exception as exc:  # noqa: BLE001 -- whatever it was, it is of this delivery alone
            self._set_aside(followed, exc)
        finally:
            self._asking -= 1
            followed.is_asking = False
            self._go_on(followed)
            self._wake.set()

    def _go_on(self, followed: Followed) -> None:
        try:
            self._again(followed)
        except Exception as exc:  # noqa: BLE001 -- whatever it was, it is of this delivery alone
            self._set_aside(followed, exc)

    def _set_aside(self, followed: Followed, exc: Exception) -> None:
        """Ask no more about a delivery on which our own code failed."""
        self._drop(followed)
        followed.handle.set_aside(exc)

    async def _ask_itself(self, followed: Followed, delivery: Delivery) -> None:
        """Ask for one delivery, and learn whether notifications announce what changes."""
        hinted_at, before = followed.hinted_at, followed.shown
        try:
            await self._poll.ask(followed, delivery)
        finally:
            if followed.hinted_at == hinted_at:
                followed.hinted_at = None
        if followed.shown is None or followed.shown in (before, delivery.jet_state):
            return
        now, job_id = self._clock.monotonic(), followed.job_id
        if hinted_at is not None:
            notified = self._notified.get(job_id, Notified())
            self._notified[job_id] = notified.confirmed(now)
        elif job_id in self._notified and is_final_in_jet(followed.shown):
            notified = self._notified[job_id]
            self._notified[job_id] = notified.ended(followed.delivery_id, now)

    async def _ask_for_many(self, followed: Followed) -> bool:
        """
        Ask for the job's transfers in progress, once for all its deliveries.

        Returns whether that told how *followed* is.
        """
        is_alone = len(self._by_job[followed.job_id]) == 1
        if is_alone or followed.wants_jets_word or self._is_unheard(followed):
            return False
        if not self._poll.may_list():
            return False
        listing = self._listings[followed.job_id]
        async with listing.lock:
            now = self._clock.monotonic()
            if now < listing.rests_until:
                return False
            if now - listing.asked_at >= self._relisted_after(listing):
                listing.asked_at = now
                await self._list(followed, listing)
        return followed.seen.listed_at >= listing.asked_at

    async def _list(self, followed: Followed, listing: Listing) -> None:
        """List the job's transfers; a listing that fails tells nothing of anybody."""
        try:
            is_telling = self._tell(followed.job_id, await self._poll.list(followed))
        except JetError as exc:
            log.debug("jet gave no listing, its deliveries are asked", error=str(exc))
        except Exception as exc:  # noqa: BLE001 -- it is of the listing: each is asked by itself
            what = "a listing cannot be used, each is asked by itself: a defect of ours"
            job_id = followed.job_id
            defects.report(self._metrics, "delivery", what, exc, job_id=job_id)
        else:
            listing.failures = 0
            listing.silences = 0 if is_telling else listing.silences + 1
            return
        rest = self._pace.minimum * (1 << min(listing.failures, _REST_DOUBLINGS))
        listing.rests_until = self._clock.monotonic() + rest.total_seconds()
        listing.failures += 1

    def _relisted_after(self, listing: Listing) -> float:
        """Return the age at which a listing is old; one that told nothing lasts."""
        doublings = min(listing.silences, _REST_DOUBLINGS)
        return self._pace.minimum.total_seconds() / 2 * (1 << doublings)

    def _is_unheard(self, followed: Followed) -> bool:
        """Whether only listings have told of a delivery for too long."""
        return self._clock.monotonic() - followed.asked_at > self._longest_unheard

    def _tell(self, job_id: JobId, shown: tuple[JetTransfer, ...]) -> bool:
        """Tell every delivery of the job what is shown of it; whether it was any."""
        now = self._clock.monotonic()
        of: defaultdict[DeliveryId, list[JetTransfer]] = defaultdict(list)
        is_named = all(transfer.delivery_id for transfer in shown)
        owners = {} if is_named else self._owners(job_id)
        for transfer in shown:
            owner = transfer.delivery_id or owners.get(transfer.transfer_id)
            if owner is not None:
                of[owner].append(transfer)
        for delivery_id, transfers in of.items():
            followed = self._by_job[job_id].get(delivery_id)
            if followed is None:
                continue
            try:
                self._tell_one(followed, transfers, now)
            except Exception as exc:  # noqa: BLE001 -- whatever it was, it is of this delivery alone
                self._set_aside(followed, exc)
        return bool(of)

    def _tell_one(
        self, followed: Followed, transfers: list[JetTransfer], now: float
    ) -> None:
        delivery = followed.handle.delivery
        if delivery is None:
            return
        followed.denied = None  # another answer of Jet's about it
        if followed.wants_jets_word:
            return
        followed.seen = estimate(followed.seen, delivery, transfers, now)
        followed.seen_at = self._clock.now()
        followed.told, seen = of_listing(followed.told, delivery, tuple(transfers))
        _ = followed.observe(seen, now)  # its owner takes care that it is durable
        if not followed.is_asking:
            self._again(followed)

    def _owners(self, job_id: JobId) -> dict[TransferId, DeliveryId]:
        """Return whose the job's known transfers are, where a listing does not say."""
        return {
            transfer.transfer_id: followed.delivery_id
            for followed in self._by_job[job_id].values()
            if (delivery := followed.handle.delivery)
            for transfer in delivery.transfers
        }

    def _is_overdue(self, delivery: Delivery) -> bool:
        deadline = delivery.deadline_at
        return deadline is not None and deadline <= self._clock.now()

    def _again(self, followed: Followed) -> None:
        delivery = followed.handle.delivery
        if delivery is None or not delivery.state.is_followed:
            self._drop(followed)
            return
        now = self._clock.monotonic()
        if followed.denied is not None:
            denied = timedelta(seconds=followed.denied.lasted)
            longest = min(_DENIED_AT_MOST, self._pace.maximum)
            delay = max(self._pace.minimum, min(denied / 5, longest)).total_seconds()
        elif followed.hinted_at is not None:
            delay = self._hinted_every
        elif followed.wants_jets_word:
            delay = self._pace.minimum.total_seconds()
        else:
            delay = self._usual(followed, now).total_seconds()
        if delivery.deadline_at is not None:
            left = (delivery.deadline_at - self._clock.now()).total_seconds()
            delay = min(delay, max(0.0, left))
        self._schedule(followed, delay)

    def _usual(self, followed: Followed, now: float) -> timedelta:
        """Return the wait for one that nothing is known of; longer if it is notified of."""
        usual = self._pace.next(
            followed.seen.age(now - followed.began, followed.failures),
            followed.seen.remaining(now),
            self._clock.jitter(),
        )
        notified = self._notified.get(followed.job_id)
        if notified is None or followed.failures:
            return usual
        return self._pace.put_off(usual, notified.relied_on(now), self._clock.jitter())

    def _schedule(self, followed: Followed, delay: float) -> None:
        """
        Ask after a delay.

        Most are put off again and again, by every listing: such a one stays where it is
        in the queue until that time comes, and is then put where it belongs.
        """
        followed.due = self._clock.monotonic() + delay
        if followed.queued_for is None or followed.due < followed.queued_for:
            self._queue(followed)

    def _queue(self, followed: Followed) -> None:
        self._ticket += 1
        followed.queued_for = followed.due
        heapq.heappush(self._due, (followed.due, self._ticket, followed))
        if self._due[0][2] is followed:
            self._wake.set()

    def _is_current(self, followed: Followed) -> bool:
        return self._followed.get(followed.handle.command_id) is followed

    def _drop(self, followed: Followed) -> None:
        if self._is_current(followed):
            del self._followed[followed.handle.command_id]
        deliveries = self._by_job[followed.job_id]
        if deliveries.get(followed.delivery_id) is followed:
            del deliveries[followed.delivery_id]
        if not deliveries:
            self._by_job.pop(followed.job_id, None)
            self._listings.pop(followed.job_id, None)
