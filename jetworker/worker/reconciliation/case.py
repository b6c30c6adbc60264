"""One unknown start that is looked after, and what is remembered between two looks."""

import asyncio
from dataclasses import dataclass, field

from jetworker.core.delivery import Delivery, Intent, State
from jetworker.core.settle import LookAgain
from jetworker.runtime.clock import wait
from jetworker.worker.handle import DeliveryHandle

_NOT_SHOWN = LookAgain("Jet did not show in time what is on the job")


@dataclass(slots=True, eq=False)
class UnknownStart:
    """
    The unknown outcome of one intent; *began* is when this process learnt of it.

    *called* is set when an operator's order came. *last* says why it is not decided.
    """

    handle: DeliveryHandle
    intent: Intent | None
    began: float
    called: asyncio.Event = field(default_factory=asyncio.Event)
    last: LookAgain = _NOT_SHOWN

    @property
    def unsettled(self) -> Delivery | None:
        """The delivery as it is now, None once this start is settled."""
        delivery = self.handle.delivery
        if delivery is None or delivery.state not in {State.UNCERTAIN, State.HELD}:
            return None
        return delivery if delivery.intent == self.intent else None

    def is_of(self, handle: DeliveryHandle) -> bool:
        """Whether it looks after what this entry's delivery is uncertain of now."""
        if handle.owner is not self.handle.owner or handle.delivery is None:
            return False
        return handle.delivery.intent == self.intent

    def is_as_before(self, then: Delivery) -> bool:
        """Whether what was looked up is still what is asked."""
        now = self.unsettled
        return now is not None and now.pending == then.pending

    async def wait(self, seconds: float) -> None:
        """Wait, or until an operator's order comes."""
        await wait(self.called, seconds)
        self.called.clear()
