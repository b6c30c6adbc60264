"""
What Jet notifies of, to hints: which deliveries somebody says are worth a question.

Notifications carry no signature, so that nothing in one is a fact: not its state, not
its time, not even that Jet sent it. Two names are read, and everything else is left.
"""

from typing import Any

import orjson

from jetworker.core.command import DeliveryId, JobId
from jetworker.core.observation import Hint
from jetworker.wire.jet import is_jet_id

LONGEST = 64 << 10  # bytes of a body
_MOST = 100


def decode(body: bytes) -> tuple[Hint, ...]:
    """Return the deliveries that a body names, each once; none if it cannot be read."""
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ()
    events = told.get("events") if isinstance(told, dict) else None
    if not isinstance(events, list):
        return ()
    hints = (_hint(each) for each in events[:_MOST])
    return tuple(dict.fromkeys(each for each in hints if each is not None))


def _hint(event: Any) -> Hint | None:
    data = event.get("data") if isinstance(event, dict) else None
    named = data.get("delivery") if isinstance(data, dict) else None
    if not isinstance(named, dict):
        return None
    job_id, delivery_id = named.get("jobId"), named.get("deliveryId")
    if not is_jet_id(job_id) or not is_jet_id(delivery_id):
        return None
    return Hint(JobId(job_id), DeliveryId(delivery_id))
