"""A start that was written down and whose outcome is not known (yet)."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from jetworker.core.command import CommandId, DeliveryId, ObjectSpec
from jetworker.core.delivery import Delivery, Intent

_SKEW = timedelta(seconds=2)  # Jet's clocks need not agree to the second
_UNHEARD = timedelta(minutes=10)  # Jet's clock was never heard: ours may be wrong


@dataclass(frozen=True, slots=True)
class OpenIntent:
    """
    An unknown start, as far as it matters to others on the same job.

    By Jet's clock it was not applied before *jet_time*, and will not be after *until*.
    *after* is the delivery that its worker started on the job before.
    """

    command_id: CommandId
    written_at: datetime
    jet_time: datetime | None
    objects: tuple[ObjectSpec, ...]
    after: DeliveryId | None = None
    until: datetime | None = None

    @property
    def contents(self) -> tuple[tuple[str, int | None, bool], ...]:
        """What it asked for, comparable."""
        return tuple((o.relative_path, o.size, o.is_directory) for o in self.objects)


def earliest(intent: Intent) -> datetime:
    """Return a time of Jet's clock before which the start cannot have been applied."""
    return (intent.jet_time or intent.written_at - _UNHEARD) - _SKEW


def open_intent(delivery: Delivery, intent: Intent, within: timedelta) -> OpenIntent:
    """
    Return the open intent of a delivery.

    *within* is the longest time from the writing until Jet has applied it.
    """
    latest = (intent.jet_time or intent.written_at + _UNHEARD) + within + _SKEW
    return OpenIntent(
        delivery.command_id,
        intent.written_at,
        intent.jet_time,
        delivery.objects,
        intent.after,
        latest,
    )
