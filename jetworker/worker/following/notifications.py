"""
What notifications said, and whether Jet's answers bear it out.

None is believed. One that names a delivery is remembered with it until an answer shows
what has changed; whether those of a job may make questions rarer is learned from that
(`core.notified`).
"""

from dataclasses import dataclass

from jetworker.core.command import DeliveryId, JobId
from jetworker.core.notified import Notified
from jetworker.core.observation import Hint, is_final_in_jet
from jetworker.runtime.clock import Clock
from jetworker.worker.following.followed import FollowedDelivery

_EARLY = 1000  # that came before the answer to their start


@dataclass(frozen=True, slots=True)
class BeforeAnswer:
    """
    What was known of a delivery when Jet was asked about it.

    *shown* is the state that Jet's last answer had, *published* that of the last event.
    """

    shown: str | None
    published: str | None
    named_at: float | None
    hinted_at: float | None


class Notifications:
    """What is learned of the notifications of each job."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._jobs: dict[JobId, Notified] = {}
        self._early: dict[tuple[JobId, DeliveryId], Hint] = {}

    def hear(self, hint: Hint) -> None:
        """Take note of one; it may announce an end that Jet has shown before it came."""
        notified = self._jobs.get(hint.job_id)
        if notified is not None and not hint.is_running:
            now = self._clock.monotonic()
            self._jobs[hint.job_id] = notified.announced(hint.delivery_id, now)

    def keep_early(self, hint: Hint) -> None:
        """Keep one of what is not followed yet; that it has ended, rather than not."""
        ids = hint.job_id, hint.delivery_id
        self._early[ids] = self._early.get(ids, hint) if hint.is_running else hint
        if len(self._early) > _EARLY:
            del self._early[next(iter(self._early))]

    def take_early(self, followed: FollowedDelivery) -> Hint | None:
        """Return the one that came before a delivery was followed, if one did."""
        return self._early.pop((followed.job_id, followed.delivery_id), None)

    def miss(self) -> list[JobId]:
        """Rely on none for a while; returns the jobs on whose they were relied."""
        now = self._clock.monotonic()
        relied_on = [
            each for each, notified in self._jobs.items() if notified.relied_on(now) > 0
        ]
        for job_id, notified in self._jobs.items():
            self._jobs[job_id] = notified.missed(now)
        return relied_on

    def compare(self, followed: FollowedDelivery, before: BeforeAnswer) -> None:
        """Learn from Jet's answer whether what has changed had been announced."""
        has_ended = is_final_in_jet(followed.shown)
        if before.hinted_at is not None and not has_ended:  # what it said is not so
            followed.is_announced = False
        if followed.shown in (None, before.shown, before.published):
            return
        told_at = before.hinted_at if has_ended else before.named_at
        if told_at is not None:
            self.bear_out(followed)
        elif has_ended and followed.job_id in self._jobs:
            now, notified = self._clock.monotonic(), self._jobs[followed.job_id]
            self._jobs[followed.job_id] = notified.ended(followed.delivery_id, now)

    def bear_out(self, followed: FollowedDelivery) -> None:
        """Take note that an answer shows a change of what a notification had named."""
        notified = self._jobs.get(followed.job_id, Notified())
        self._jobs[followed.job_id] = notified.confirmed(self._clock.monotonic())
        followed.named_at, followed.is_announced = None, True

    def relied_on(self, followed: FollowedDelivery, now: float) -> float:
        """Return for how many seconds more a delivery's end is taken to be announced."""
        notified = self._jobs.get(followed.job_id)
        if notified is None or not followed.is_announced:
            return 0.0
        return notified.relied_on(now)
