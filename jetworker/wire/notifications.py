"""
What Jet notifies of, to hints: which deliveries somebody says are worth a question.

Notifications carry no signature, so that nothing in one is a fact: not its state, not
its time, not even that Jet sent it. Two names are read, and whether the question may
wait: it may where the state that is told is one of a delivery that has not ended.
"""

from typing import Any

import orjson

from jetworker.core.command import DeliveryId, JobId
from jetworker.core.observation import Hint
from jetworker.wire.jet import is_jet_id

LONGEST = 64 << 10  # bytes of a body
_MOST = 100  # events of one notification
_RUNNING = frozenset({"CREATED", "QUEUED", "SCHEDULED", "IN_PROGRESS"})


def decode(body: bytes) -> tuple[Hint, ...]:
    """Return the deliveries that a body names, each once; none if it cannot be read."""
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ()
    events = told.get("events") if isinstance(told, dict) else None
    if not isinstance(events, list):
        return ()
    found: dict[tuple[JobId, DeliveryId], Hint] = {}
    for hint in map(_hint, events[:_MOST]):
        if hint is not None:
            ids = hint.job_id, hint.delivery_id
            found[ids] = found.get(ids, hint) if hint.is_running else hint
    return tuple(found.values())


def _hint(event: Any) -> Hint | None:
    data = event.get("data") if isinstance(event, dict) else None
    named = data.get("delivery") if isinstance(data, dict) else None
    if not isinstance(named, dict):
        return None
    job_id, delivery_id = named.get("jobId"), named.get("deliveryId")
    if not is_jet_id(job_id) or not is_jet_id(delivery_id):
        return None
    state = named.get("state")
    is_running = isinstance(state, str) and state in _RUNNING
    return Hint(JobId(job_id), DeliveryId(delivery_id), is_running)
