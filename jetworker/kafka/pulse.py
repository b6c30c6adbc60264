"""
When Kafka last let a member of the group be one.

aiokafka has no sign of life to ask for: after an error that it takes for final (a right
that was withdrawn, certificates that were replaced) it goes on quietly and never reads
again. So the answers that it gets are looked at: a heartbeat that went well is a sign of
life, and so is waiting for the others of the group to join. Fetches say nothing: who is
no member any more may still fetch.

A static member that is unknown to the group within its session was replaced: somebody
else has joined under its `group_instance_id`. To aiokafka that is a reason to join again,
which replaces the other one, and so on.
"""

from collections.abc import Callable
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import RebalanceInProgressError, UnknownMemberIdError
from aiokafka.protocol.group import (
    HeartbeatRequest,
    JoinGroupRequest,
    SyncGroupRequest,
)

_SIGNS = (HeartbeatRequest, JoinGroupRequest, SyncGroupRequest)
_FINE = (0, RebalanceInProgressError.errno)
_FENCED_INSTANCE_ID = 82  # aiokafka has no name for it


class Pulse:
    """Watches the answers that one consumer gets."""

    def __init__(self, monotonic: Callable[[], float], session: float) -> None:
        self._monotonic = monotonic
        self._session = session
        self.is_replaced = False
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
            elif isinstance(request, _SIGNS):
                self._doubt(answer.error_code)
            return answer

        client.send = watched  # type: ignore[method-assign]  # on this one alone

    def _doubt(self, error_code: int) -> None:
        """Take note where the group does not know a member that it should."""
        is_unknown = error_code == UnknownMemberIdError.errno
        is_early = self._monotonic() - self._at < self._session
        if error_code == _FENCED_INSTANCE_ID or (is_unknown and is_early):
            self.is_replaced = True
