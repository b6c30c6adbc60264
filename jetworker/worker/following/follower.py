"""
Who is asked when: following every started delivery to its end, within one budget.

- *Listings.* A job with several open deliveries is asked once for all its transfers in
  progress. Whoever the listing shows is due with the next one, and has no time of its
  own; whoever the next one does not show any more is asked for at once: it has ended,
  most likely.
- *Questions.* A delivery is asked for by itself where no listing shows it (not begun,
  between batches, ended) or Jet gives none. Whoever is listed is asked for too, rarely,
  and most rarely while its listed counts grow. Jet's word on the delivery decides,
  however long a transfer is listed.
- *Pace.* Questions grow rarer with age and come closer again towards the estimated end.
  A listing that tells of nobody is asked for more rarely: the budget is for answers.
  When the budget is short, answers get older and nothing else happens.
- *Notifications* (`notifications`). A delivery that one names is asked for at once; one
  that is said to go on only waits no longer than it would without notifications. Those
  that Jet's answers bear out are relied on: their deliveries wait longer. So
  notifications cost one question for each end, and none beside.

What is due is asked by a bounded number of `askers`.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog

from jetworker.core.command import CommandId, JobId
from jetworker.core.delivery import Delivery
from jetworker.core.errors import JetError, SetAside, StoreError
from jetworker.core.observation import Hint, JetTransfer, is_final_in_jet
from jetworker.core.polling import (
    Pace,
    estimate,
    is_growing,
    is_news,
    of_listing,
    spread,
)
from jetworker.core.trigger import DeadlinePassed
from jetworker.runtime.clock import Clock
from jetworker.runtime.metrics import Metrics
from jetworker.runtime.watchdog import Watchdog
from jetworker.worker import defects
from jetworker.worker.following.askers import Askers
from jetworker.worker.following.followed import FollowedDelivery, FollowedJob
from jetworker.worker.following.notifications import BeforeAnswer, Notifications
from jetworker.worker.following.poll import StatusPoll
from jetworker.worker.handle import DeliveryHandle

log = structlog.get_logger()

_DENIED_AT_MOST = 30.0  # seconds between questions about what Jet's own 404 denies
_REST_DOUBLINGS = 3  # of the wait after listings that fail or tell of nobody
_HINTED_EVERY = 1.0  # seconds between questions that notifications bring
# So many times the longest interval without Jet's word on a delivery itself: of one
# whose counts stand still in the listings, and of one whose counts grow, so that it runs.
_LISTED_AT_MOST = 10
_GROWING_AT_MOST = 60


class Follower:
    """Follows the deliveries of all partitions of one worker."""

    def __init__(
        self,
        poll: StatusPoll,
        pace: Pace,
        progress_interval: timedelta,
        clock: Clock,
        watchdog: Watchdog,
        metrics: Metrics,
    ) -> None:
        self._poll = poll
        self._pace = pace
        self._min_interval = pace.minimum.total_seconds()
        self._max_interval = pace.maximum.total_seconds()
        self._progress_interval = progress_interval
        self._clock = clock
        self._watchdog = watchdog
        self._metrics = metrics
        self._followed: dict[CommandId, FollowedDelivery] = {}
        self._jobs: dict[JobId, FollowedJob] = {}
        self._notifications = Notifications(clock)
        self._hinted_every = min(_HINTED_EVERY, self._min_interval)
        self._askers: Askers[FollowedDelivery | FollowedJob] = Askers(
            self._ask, self._min_interval / 100, clock
        )

    def __len__(self) -> int:
        """Return how many are followed."""
        return len(self._followed)

    @property
    def asking(self) -> int:
        """How many questions are on their way."""
        return self._askers.busy

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
        followed = FollowedDelivery(
            handle,
            delivery.job_id,
            delivery.delivery_id,
            began=now,
            due=now,
            asked_at=now if delivery.jet_state is None else self._some_time_ago(now),
            seen_at=self._clock.now(),
        )
        self._followed[handle.command_id] = followed
        job = self._jobs.setdefault(followed.job_id, FollowedJob(followed.job_id))
        job.deliveries[followed.delivery_id] = followed
        self._ask_first(job, followed, now)

    def _some_time_ago(self, now: float) -> float:
        """
        Return when Jet's word on one that was taken over is taken to have come last.

        Nobody here knows. Spread, so that not all of them are asked for at once.
        """
        return now - self._max_interval * _LISTED_AT_MOST * self._clock.jitter()

    def _ask_first(
        self, job: FollowedJob, followed: FollowedDelivery, now: float
    ) -> None:
        """Let the job's next listing tell of a new one, unless it must be asked itself."""
        early = self._notifications.take_early(followed)
        if early is not None:
            followed.named_at = now
        if early is not None and not early.is_running:
            followed.hinted_at = now
            self._askers.put(followed, now)
            return
        first = now + self._pace.first(self._clock.jitter()).total_seconds()
        if len(job.deliveries) == 1:
            self._askers.put(followed, first)
            return
        followed.due = first
        job.relying[followed.delivery_id] = followed
        is_soon = job.queued_for is not None and job.due <= now + self._min_interval
        if not is_soon and not job.is_listing:
            self._askers.put(job, first)

    def hint(self, hint: Hint) -> bool:
        """
        Ask for a delivery that a notification names; returns whether it is followed.

        At once, but once a second at most: it may be forged. One that is said to go on
        is only put off no longer. One that is not followed yet is remembered for a
        while: Jet may be faster than we are.
        """
        now = self._clock.monotonic()
        self._notifications.hear(hint)
        job = self._jobs.get(hint.job_id)
        followed = job.deliveries.get(hint.delivery_id) if job else None
        if job is None or followed is None:
            self._notifications.keep_early(hint)
            return False
        followed.named_at = now
        if hint.is_running:
            self._put_off_no_longer(job, followed, now)
            return True
        followed.hinted_at = now
        if not followed.is_asking:
            self._bring_forward(job, followed, now)
        return True

    def _bring_forward(
        self, job: FollowedJob, followed: FollowedDelivery, now: float
    ) -> None:
        """Ask for one soon; if nothing has changed, it is asked again when it was due."""
        is_relying = job.relying.pop(followed.delivery_id, None) is not None
        due = float("inf") if is_relying else followed.due
        soon = max(now, followed.tried_at + self._hinted_every)
        if soon < due:
            followed.resumes = due if followed.resumes is None else followed.resumes
            self._askers.put(followed, soon)

    def miss_notification(self) -> None:
        """Rely on none for a while: one came and was not read, and nobody knows of what."""
        now = self._clock.monotonic()
        for job_id in self._notifications.miss():
            job = self._jobs.get(job_id)
            if job is not None:
                for followed in job.deliveries.values():
                    self._put_off_no_longer(job, followed, now)

    def _put_off_no_longer(
        self, job: FollowedJob, followed: FollowedDelivery, now: float
    ) -> None:
        """Let one be asked when it would be without notifications, and no sooner."""
        is_soon = followed.is_asking or followed.resumes is not None
        if is_soon or not followed.is_announced:
            return
        usual = self._usual(followed, now)
        if followed.delivery_id not in job.relying:
            self._askers.put(
                followed, max(now, min(followed.due, followed.tried_at + usual))
            )
        elif job.queued_for is not None:
            self._askers.put(job, max(now, min(job.due, job.asked_at + usual)))

    def oldest_seen(self) -> datetime | None:
        """Return when the most stale delivery was last seen, None if none is open."""
        return min((each.seen_at for each in self._followed.values()), default=None)

    def next_due(self, command_id: CommandId) -> float | None:
        """Return the seconds until a delivery is asked for next."""
        followed = self._followed.get(command_id)
        if followed is None:
            return None
        job = self._jobs[followed.job_id]
        due = job.due if followed.delivery_id in job.relying else followed.due
        return max(0.0, due - self._clock.monotonic())

    async def run(self) -> None:
        """Ask for what is due, for ever; a bounded number of questions at once."""
        with self._watchdog.watching("follower") as turn:
            await self._askers.run(turn)

    async def _ask(self, due: FollowedDelivery | FollowedJob) -> None:
        """Ask about one delivery or one job; no error ever ends the questions of others."""
        if isinstance(due, FollowedJob):
            await self._list_due(due)
        elif due.is_asking or not self._is_current(due):
            return
        elif not await self._ask_for_many(due):
            await self._ask_itself(due)

    async def _ask_itself(self, followed: FollowedDelivery) -> None:
        """Ask about one delivery by itself."""
        self._jobs[followed.job_id].relying.pop(followed.delivery_id, None)
        followed.tried_at = self._clock.monotonic()
        followed.is_asking = True
        try:
            delivery = followed.handle.delivery
            if delivery is None or not delivery.state.is_followed:
                self._drop(followed)
            elif self._is_overdue(delivery):
                await self._ask_last(followed, delivery)
            else:
                await self._ask_jet(followed, delivery)
        except JetError as exc:
            followed.failures += 1
            log.debug("a question failed, it is asked again", error=str(exc))
        except (StoreError, SetAside):
            self._drop(followed)
        except Exception as exc:  # noqa: BLE001 -- whatever it was, it is of this delivery alone
            self._set_aside(followed, exc)
        finally:
            followed.is_asking = False
            followed.has_left = followed.is_listed = False
            self._go_on(followed)

    async def _ask_last(self, followed: FollowedDelivery, delivery: Delivery) -> None:
        """
        Give one up whose deadline has passed, unless Jet has ended it.

        That may have been long before the deadline, while nobody was there to ask.
        """
        try:
            await self._ask_jet(followed, delivery)
        except JetError as exc:
            log.debug("a last question failed, the deadline counts", error=str(exc))
        if not is_final_in_jet(followed.shown):
            await followed.handle.apply(DeadlinePassed())

    def _go_on(self, followed: FollowedDelivery) -> None:
        try:
            self._again(followed)
        except Exception as exc:  # noqa: BLE001 -- whatever it was, it is of this delivery alone
            self._set_aside(followed, exc)

    def _set_aside(self, followed: FollowedDelivery, exc: Exception) -> None:
        """Ask no more about a delivery on which our own code failed."""
        self._drop(followed)
        followed.handle.set_aside(exc)

    async def _ask_jet(self, followed: FollowedDelivery, delivery: Delivery) -> None:
        """Ask for one delivery, and learn whether notifications announce what changes."""
        before = BeforeAnswer(
            followed.shown,
            delivery.jet_state,
            followed.named_at,
            followed.hinted_at,
        )
        try:
            await self._poll.ask(followed, delivery)
        finally:
            if followed.hinted_at == before.hinted_at:
                followed.hinted_at = None
        self._notifications.compare(followed, before)

    async def _ask_for_many(self, followed: FollowedDelivery) -> bool:
        """
        Ask for the job's transfers in progress, once for all its deliveries.

        Returns whether a listing has told how *followed* is, or will: whom it does not
        show is asked for then.
        """
        job, now = self._jobs[followed.job_id], self._clock.monotonic()
        delivery = followed.handle.delivery
        if delivery is None or self._is_overdue(delivery):
            return False
        if followed.wants_jets_word or self._is_unheard(followed, now):
            return False
        if not self._may_list(job, now):
            return False
        lasts = self._relisted_after(job)
        if followed.has_left:  # it has ended, most likely: another would not show it
            lasts = max(lasts, self._min_interval)
        is_old = now - job.asked_at >= lasts
        if not is_old and not job.is_listing and followed.listed < job.number:
            return False
        job.relying[followed.delivery_id] = followed
        if is_old and not job.is_listing:
            await self._list(job)
        elif not job.is_listing and job.queued_for is None:
            self._askers.put(job, job.asked_at + self._min_interval)
        return True

    def _may_list(self, job: FollowedJob, now: float) -> bool:
        is_for_many = len(job.deliveries) > 1
        return is_for_many and now >= job.rests_until and self._poll.may_list()

    async def _list_due(self, job: FollowedJob) -> None:
        """Ask for those that rely on a listing: all at once, or each by itself."""
        now = self._clock.monotonic()
        fresh_until = job.asked_at + self._relisted_after(job)
        if job.is_listing or not job.relying:
            return
        if not self._may_list(job, now):
            self._let_go(job, list(job.relying.values()), now)
        elif now >= fresh_until:
            await self._list(job)
        elif job.silences:
            self._let_go(job, list(job.relying.values()), now)
        else:
            self._askers.put(job, fresh_until)

    async def _list(self, job: FollowedJob) -> None:
        """List the job's transfers; a listing that fails tells nothing of anybody."""
        job.is_listing, job.asked_at = True, self._clock.monotonic()
        try:
            shown = await self._poll.list(next(iter(job.deliveries.values())))
            is_telling = self._tell(job, shown)
        except JetError as exc:
            log.debug("jet gave no listing, its deliveries are asked", error=str(exc))
        except Exception as exc:  # noqa: BLE001 -- it is of the listing: each is asked by itself
            what = "a listing cannot be used, each is asked by itself: a defect of ours"
            defects.report(self._metrics, "delivery", what, exc, job_id=job.job_id)
        else:
            job.failures = 0
            job.silences = 0 if is_telling else job.silences + 1
            return
        finally:
            job.is_listing = False
        now = self._clock.monotonic()
        rest = self._min_interval * (1 << min(job.failures, _REST_DOUBLINGS))
        job.rests_until = now + rest
        job.failures += 1
        self._let_go(job, list(job.relying.values()), now)

    def _relisted_after(self, job: FollowedJob) -> float:
        """Return the seconds after which a listing is old, longer if it told of nobody."""
        return self._min_interval / 2 * (1 << min(job.silences, _REST_DOUBLINGS))

    def _is_unheard(self, followed: FollowedDelivery, now: float) -> bool:
        """Whether only listings have told of a delivery for too long."""
        silent = now - followed.asked_at
        if silent <= self._max_interval * _LISTED_AT_MOST:
            return False
        still = now - followed.grew_at
        return (
            still > self._max_interval * _LISTED_AT_MOST
            or silent > self._max_interval * _GROWING_AT_MOST
        )

    def _tell(self, job: FollowedJob, shown: Sequence[JetTransfer]) -> bool:
        """Tell every delivery of the job what is shown of it; returns if it was any."""
        now, wall = self._clock.monotonic(), self._clock.now()
        job.number += 1
        job.wait = float("inf")
        is_telling = False
        for delivery_id, transfers in job.by_delivery(shown).items():
            followed = job.deliveries.get(delivery_id)
            if followed is None:
                continue
            is_telling = True
            try:
                self._tell_one(job, followed, tuple(transfers), now, wall)
            except Exception as exc:  # noqa: BLE001 -- whatever it was, it is of this delivery alone
                self._set_aside(followed, exc)
        unseen = [each for each in job.relying.values() if each.listed != job.number]
        self._let_go(job, unseen, now)
        if job.relying:
            self._askers.put(job, now + spread(job.wait, self._clock.jitter()))
        return is_telling

    def _tell_one(
        self,
        job: FollowedJob,
        followed: FollowedDelivery,
        transfers: tuple[JetTransfer, ...],
        now: float,
        wall: datetime,
    ) -> None:
        """Tell one delivery; one that did not change costs as little as can be."""
        delivery = followed.handle.delivery
        if delivery is None:
            return
        followed.denied = None  # another answer of Jet's about it
        if followed.wants_jets_word:
            return
        before = followed.seen
        followed.seen = estimate(before, delivery, transfers, now)
        followed.seen_at = wall
        if is_growing(delivery, before, followed.seen):
            followed.grew_at = now
        interval = self._progress_interval
        if not is_news(followed.told, delivery, transfers, wall, interval):
            followed.hear(transfers, now)
        else:
            followed.count_heard()
            followed.told, seen = of_listing(followed.told, delivery, transfers)
            _ = followed.observe(seen, now)  # its owner takes care that it is durable
            latest = followed.handle.delivery
            if latest is None or not latest.state.is_followed:
                self._drop(followed)
                return
            if followed.named_at is not None and latest.jet_state != delivery.jet_state:
                self._notifications.bear_out(followed)
        if not followed.is_asking:
            self._rely(job, followed, delivery, now, wall)

    def _rely(
        self,
        job: FollowedJob,
        followed: FollowedDelivery,
        delivery: Delivery,
        now: float,
        wall: datetime,
    ) -> None:
        """Let the job's next listing tell of one that this one showed."""
        followed.listed = job.number
        if self._is_unheard(followed, now):
            job.relying.pop(followed.delivery_id, None)
            followed.is_listed = True
            self._askers.put(followed, now)
            return
        job.relying[followed.delivery_id] = followed
        self._askers.take_out(followed)
        if job.wait > self._min_interval:
            usual = self._usual(followed, now)
            job.wait = min(job.wait, self._put_off(followed, usual, now))
        self._heed_deadline(followed, delivery, now, wall)

    def _heed_deadline(
        self, followed: FollowedDelivery, delivery: Delivery, now: float, wall: datetime
    ) -> None:
        """Let one that relies on listings have a time of its own if it must end soon."""
        if delivery.deadline_at is not None:
            left = (delivery.deadline_at - wall).total_seconds()
            if left <= self._max_interval:
                self._askers.put(followed, now + max(0.0, left))

    def _let_go(
        self, job: FollowedJob, unseen: Sequence[FollowedDelivery], now: float
    ) -> None:
        """
        Ask for these by themselves; for one that a listing has shown, at once.

        Where many are due, one that is not shown any more goes ahead of the others.
        """
        for followed in unseen:
            del job.relying[followed.delivery_id]
            followed.has_left = 0 < followed.listed < job.number
            at = now if followed.listed else max(now, followed.due)
            self._askers.put(
                followed, at - self._max_interval if followed.has_left else at
            )

    def _is_overdue(self, delivery: Delivery) -> bool:
        deadline = delivery.deadline_at
        return deadline is not None and deadline <= self._clock.now()

    def _again(self, followed: FollowedDelivery) -> None:
        delivery = followed.handle.delivery
        if delivery is None or not delivery.state.is_followed:
            self._drop(followed)
            return
        if not self._is_current(followed):
            return
        now = self._clock.monotonic()
        due, followed.resumes = followed.resumes, None
        if due is None or followed.failures or followed.is_left_open:
            due = self._next_time(followed, delivery, now)
        elif not followed.is_announced and due < float("inf"):
            due = min(due, now + self._usual(followed, now))
        soon = now + self._hinted_every
        if followed.hinted_at is not None and followed.denied is None and soon < due:
            followed.resumes = due
            self._askers.put(followed, soon)
        elif due == float("inf"):
            self._rely_again(followed, delivery, now)
        else:
            self._askers.put(followed, max(now, due))

    def _next_time(
        self, followed: FollowedDelivery, delivery: Delivery, now: float
    ) -> float:
        """Return when a delivery is asked for after a question that was due."""
        delay = self._delay(followed, now)
        if delivery.deadline_at is not None:
            left = (delivery.deadline_at - self._clock.now()).total_seconds()
            delay = min(delay, max(0.0, left))
        return now + delay

    def _rely_again(
        self, followed: FollowedDelivery, delivery: Delivery, now: float
    ) -> None:
        """Let the job's next listing tell of one that was asked for in between."""
        job = self._jobs[followed.job_id]
        job.relying[followed.delivery_id] = followed
        self._askers.take_out(followed)
        self._heed_deadline(followed, delivery, now, self._clock.now())
        if job.is_listing:
            return
        due = job.due if job.queued_for is not None else float("inf")
        usual = job.asked_at + self._usual(followed, now)
        if due == float("inf") or not followed.is_announced:
            self._askers.put(job, max(now, min(due, usual)))

    def _delay(self, followed: FollowedDelivery, now: float) -> float:
        """Return the wait after a question about a delivery itself."""
        if followed.denied is not None:
            longest = min(_DENIED_AT_MOST, self._max_interval)
            return max(self._min_interval, min(followed.denied.lasted / 5, longest))
        if followed.is_left_open:
            return self._min_interval
        usual = self._usual(followed, now)
        if not followed.failures:
            usual = self._put_off(followed, usual, now)
        return spread(usual, self._clock.jitter())

    def _usual(self, followed: FollowedDelivery, now: float) -> float:
        """Return the wait for one that nothing is known of."""
        age = followed.seen.age(now - followed.began, followed.failures)
        return self._pace.next(age, followed.seen.remaining(now))

    def _put_off(self, followed: FollowedDelivery, usual: float, now: float) -> float:
        """Return the wait for one; longer if what becomes of it is notified of."""
        relied_on = self._notifications.relied_on(followed, now)
        if not relied_on:
            return usual
        return self._pace.put_off(usual, now - followed.began, relied_on)

    def _is_current(self, followed: FollowedDelivery) -> bool:
        return self._followed.get(followed.handle.command_id) is followed

    def _drop(self, followed: FollowedDelivery) -> None:
        if self._is_current(followed):
            del self._followed[followed.handle.command_id]
        self._askers.take_out(followed)
        job = self._jobs.get(followed.job_id)
        if job is None:
            return
        job.drop(followed)
        if not job.deliveries:
            self._askers.take_out(job)
            del self._jobs[followed.job_id]
