"""
When Kafka last let a member of the group be one.

aiokafka has no sign of life to ask for: after an error that it takes for final (a right
that was withdrawn, certificates that were replaced) it goes on quietly and never reads
again. So the answers that it gets are looked at: a heartbeat that went well is a sign of
life, and so is waiting for the others of the group to join. Fetches say nothing: who is
no member any more may still fetch.
"""

from collections.abc import Callable
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import RebalanceInProgressError
from aiokafka.protocol.group import (
    HeartbeatRequest,
    JoinGroupRequest,
    SyncGroupRequest,
)

_SIGNS = (HeartbeatRequest, JoinGroupRequest, SyncGroupRequest)
_FINE = (0, RebalanceInProgressError.errno)


class Pulse:
    """Watches the answers that one consumer gets."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._at = monotonic()
        self._joining = 0

    @property
    def silence(self) -> float:
        """For how many seconds there was no sign of life."""
        return 0.0 if self._joining else self._monotonic() - self._at

    def beat(self) -> None:
        """Take note of a sign of life."""
        self._at = self._monotonic()

    def watch(self, consumer: AIOKafkaConsumer) -> None:
        """Look at the answers to a consumer's requests from now on."""
        client = consumer._client  # noqa: SLF001 -- aiokafka shows no sign of life
        send: Callable[..., Any] = client.send

        async def watched(node_id: int, request: Any, **options: Any) -> Any:
            is_joining = isinstance(request, (JoinGroupRequest, SyncGroupRequest))
            self._joining += is_joining
            try:
                answer = await send(node_id, request, **options)
            finally:
                self._joining -= is_joining
            if isinstance(request, _SIGNS) and answer.error_code in _FINE:
                self.beat()
            return answer

        client.send = watched  # type: ignore[method-assign]  # on this one alone
