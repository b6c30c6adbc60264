"""When a command is not worth starting any more: `expiresAt` ends only what was never sent."""

from collections.abc import Iterable
from datetime import datetime

from jetworker.core.delivery import Delivery


def expiry(delivery: Delivery) -> datetime | None:
    """Return when a delivery expires, None if it never does or was sent once."""
    return None if delivery.attempt else delivery.expires_at


def is_expired(delivery: Delivery, now: datetime) -> bool:
    """Whether it is too late to begin."""
    ends = expiry(delivery)
    return ends is not None and ends <= now


def soonest_expiry(deliveries: Iterable[Delivery]) -> datetime | None:
    """Return when the first of these expires, None if none does."""
    ends = (expiry(delivery) for delivery in deliveries)
    return min((end for end in ends if end is not None), default=None)
