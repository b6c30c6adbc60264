"""
How far a job's notifications may make questions rarer.

What a notification says is never believed; that notifications *come* is learned from
Jet's own answers. One is confirmed where Jet, asked later, shows a change of the delivery
that it named. While they are, questions about deliveries of which one was may wait, the
older the longer (`polling.Pace.put_off`). Where Jet shows an end that none has announced
(another worker behind the same URL got it, or it was lost), none is relied on for a while.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from jetworker.core.command import DeliveryId

RELIED_ON_FOR = 60.0  # seconds after the last that was confirmed
DOUBTED_FOR = 600.0  # seconds after an end that none announced
_LATE = 10.0  # seconds by which a notification may come later than our question


@dataclass(frozen=True, slots=True)
class Notified:
    """
    What is known of one job's notifications; times are monotonic seconds.

    *awaited* are the deliveries whose end was seen and not announced yet, since when.
    """

    confirmed_at: float = float("-inf")
    doubted_at: float = float("-inf")
    awaited: Mapping[DeliveryId, float] = field(default_factory=dict)

    def confirmed(self, now: float) -> "Notified":
        """Return it after one that Jet's answer bears out."""
        return replace(self, confirmed_at=now)

    def ended(self, delivery_id: DeliveryId, now: float) -> "Notified":
        """Return it after an end that was seen before it was announced."""
        settled = self.settled(now)
        return replace(settled, awaited={delivery_id: now, **settled.awaited})

    def announced(self, delivery_id: DeliveryId, now: float) -> "Notified":
        """Return it after a notification, which may be of an end that was awaited."""
        if delivery_id not in self.awaited:
            return self
        rest = {x: at for x, at in self.awaited.items() if x != delivery_id}
        return replace(self.settled(now), awaited=rest, confirmed_at=now)

    def missed(self, now: float) -> "Notified":
        """Return it after one that came and was not read: nobody knows of what it told."""
        return replace(self, doubted_at=now)

    def settled(self, now: float) -> "Notified":
        """Return it without what was awaited in vain; for that, it is doubted."""
        if not self.awaited:
            return self
        rest = {x: at for x, at in self.awaited.items() if now - at <= _LATE}
        if len(rest) == len(self.awaited):
            return self
        return replace(self, awaited=rest, doubted_at=now)

    def relied_on(self, now: float) -> float:
        """Return for how many seconds more they are relied on."""
        if self.settled(now).doubted_at + DOUBTED_FOR > now:
            return 0.0
        return max(0.0, self.confirmed_at + RELIED_ON_FOR - now)
