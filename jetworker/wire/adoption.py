"""The answer to an operator's adopt, which waited for Jet's word."""

from datetime import datetime

from jetworker.core.command import Rejection, Resolution, Resolve
from jetworker.core.delivery import Delivery
from jetworker.core.reception import Reject
from jetworker.core.trigger import AdoptRefused, Found, Trigger
from jetworker.wire.answers import Answers
from jetworker.wire.record import Record


def answer_adopt(
    delivery: Delivery, trigger: Trigger, answers: Answers, now: datetime
) -> tuple[str | None, tuple[Record, ...]]:
    """
    Return how a pending adopt is answered by *trigger*, and the records that say so.

    None and nothing if no adopt is pending, or the trigger does not decide it.
    """
    pending = delivery.pending
    if pending is None or not isinstance(trigger, Found | AdoptRefused):
        return None, ()
    if isinstance(trigger, Found) and trigger.delivery_id == pending.delivery_id:
        order = Resolve(delivery.command_id, Resolution.ADOPT, pending.delivery_id)
        return "applied", (answers.applied(order, pending.origin, now),)
    message = "Jet does not know deliveryId on that job, or it is bound already"
    reject = Reject(
        Rejection.NOT_ADOPTABLE,
        message,
        delivery.command_id,
        problems=(("/deliveryId", message),),
    )
    record = Record(pending.origin.topic, pending.key, pending.value, pending.headers)
    return "rejected", answers.rejected(reject, pending.origin, record, now)
