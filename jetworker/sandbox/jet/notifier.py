"""
Subscriptions, and the notifications that they ask for: told once, some at a time.

What Jet does where nobody answers is not documented; here it is told no second time. Nor
is their order: whoever is slow to take one holds only a few others up.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import aiohttp
import structlog

from jetworker.sandbox.jet import bodies
from jetworker.sandbox.jet.bodies import LIST, OBJECT, TEXT, Json, optional, required
from jetworker.sandbox.jet.model import Delivery, DeliveryState
from jetworker.sandbox.jet.refusal import Refused
from jetworker.wire import times

log = structlog.get_logger()

_WORDS: Mapping[DeliveryState, str] = {
    DeliveryState.CREATED: "created",
    DeliveryState.QUEUED: "queued",
    DeliveryState.SCHEDULED: "scheduled",
    DeliveryState.IN_PROGRESS: "inProgress",
    DeliveryState.COMPLETED: "completed",
    DeliveryState.FAILED: "failed",
}
_LONGEST_URL = 200  # letters
_AT_ONCE = 8  # notifications on their way
_PATIENCE = aiohttp.ClientTimeout(total=5)


@dataclass(frozen=True, slots=True)
class _Subscription:
    subscription_id: str
    job_id: str
    types: tuple[str, ...]
    url: str
    created_on: datetime

    def shown(self) -> Json:
        return {
            "subscriptionId": self.subscription_id,
            "accountId": "sandbox",
            "eventCategory": "JET_DELIVERY",
            "eventFilterConfig": {"jobId": self.job_id}
            | ({"eventTypes": list(self.types)} if self.types else {}),
            "notificationMethod": "WEBHOOK",
            "notificationConfig": {"url": self.url},
            "createdOn": times.encode(self.created_on),
            "lastModifiedOn": times.encode(self.created_on),
        }


class Notifier:
    """Keeps the subscriptions of one sandbox, for as long as it runs."""

    def __init__(self) -> None:
        self._subscriptions: dict[str, _Subscription] = {}
        self._waiting: asyncio.Queue[tuple[str, Json]] = asyncio.Queue()
        self._telling: list[asyncio.Task[None]] = []

    def add(self, body: Json) -> Json:
        """POST /v1/subscriptions, of a job's deliveries to a URL."""
        if body.get("eventCategory") != "JET_DELIVERY":
            raise Refused(400, "eventCategory must be JET_DELIVERY here")
        if body.get("notificationMethod") != "WEBHOOK":
            raise Refused(400, "notificationMethod must be WEBHOOK here")
        where = required(body, "eventFilterConfig", OBJECT)
        url = required(required(body, "notificationConfig", OBJECT), "url", TEXT)
        if len(url) > _LONGEST_URL:
            raise Refused(
                400, "notificationConfig.url must have at most 200 characters"
            )
        made = _Subscription(
            str(uuid4()),
            required(where, "jobId", TEXT, "eventFilterConfig."),
            tuple(optional(where, "eventTypes", LIST, ())),
            url,
            datetime.now(UTC),
        )
        self._subscriptions[made.subscription_id] = made
        return made.shown()

    def list(self) -> Json:
        """GET /v1/subscriptions."""
        return {"items": [each.shown() for each in self._subscriptions.values()]}

    def remove(self, subscription_id: str) -> Json:
        """DELETE /v1/subscriptions/{subscriptionId}."""
        if self._subscriptions.pop(subscription_id, None) is None:
            raise Refused(404, "there is no such subscription")
        return {}

    def tell(self, delivery: Delivery) -> None:
        """Tell whoever subscribed that a delivery has a new state."""
        kind = f"com.signiant.jet.delivery.{_WORDS[delivery.state]}"
        for each in self._subscriptions.values():
            if each.job_id == delivery.job_id and (
                not each.types or kind in each.types
            ):
                body = _body(each.subscription_id, kind, delivery)
                self._waiting.put_nowait((each.url, body))
                self._begin()

    async def close(self) -> None:
        """Stop telling."""
        for each in self._telling:
            each.cancel()
        await asyncio.gather(*self._telling, return_exceptions=True)

    def _begin(self) -> None:
        while len(self._telling) < _AT_ONCE:
            self._telling.append(asyncio.create_task(self._run(), name="notifier"))

    async def _run(self) -> None:
        async with aiohttp.ClientSession(timeout=_PATIENCE) as session:
            while True:
                url, body = await self._waiting.get()
                try:
                    async with session.post(url, json=body) as answer:
                        await answer.read()
                except (aiohttp.ClientError, OSError, TimeoutError) as exc:
                    kind = type(exc).__name__
                    log.warning("a notification was not taken", reason=kind)


def _body(subscription_id: str, kind: str, delivery: Delivery) -> dict[str, Any]:
    told: bodies.Json = {
        "jobId": delivery.job_id,
        "deliveryId": delivery.delivery_id,
        "state": delivery.state,
        "createdOn": times.encode(delivery.created_on),
        "lastModifiedOn": times.encode(delivery.changed_on),
        "serviceId": "sandbox",
    }
    event = {
        "id": str(uuid4()),
        "time": times.encode(delivery.changed_on),
        "type": kind,
        "source": f"/jobs/{delivery.job_id}",
        "specversion": "1.0",
        "data": {"delivery": told},
    }
    return {"subscriptionId": subscription_id, "events": [event]}
