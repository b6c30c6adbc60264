"""
When Kafka last let a member of the group be one.

aiokafka has no sign of life to ask for: after an error that it takes for final (a right
that was withdrawn, certificates that were replaced) it goes on quietly and never reads
again. So the answers that it gets are looked at: a heartbeat that went well is a sign of
life, and so is waiting for the others of the group to join. Fetches say nothing of that:
who is no member any more may still fetch.

And who is a member may fetch nothing, while heartbeats go on: because a broker is away
that leads some partitions and not the group, or because aiokafka's own task has ended by
an error that it did not expect. `getmany` says in both cases that there is nothing new.
So for each partition it is known when a fetch was last answered, be it with nothing.

A static member that is unknown to the group within its session was replaced: somebody
else has joined under its `group_instance_id`. To aiokafka that is a reason to join again,
which replaces the other one, and so on.
"""

from collections.abc import Callable
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import RebalanceInProgressError, UnknownMemberIdError
from aiokafka.protocol.fetch import FetchRequest
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
        self._fetched: dict[int, float] = {}
        self._consumer: AIOKafkaConsumer | None = None

    @property
    def silence(self) -> float:
        """For how many seconds there was no sign of life."""
        return 0.0 if self._joining else self._monotonic() - self._at

    def beat(self) -> None:
        """Take note of a sign of life."""
        self._at = self._monotonic()

    @property
    def has_given_up(self) -> bool:
        """Whether the consumer will never fetch again."""
        return self._consumer is not None and has_given_up(self._consumer)

    def fetched(self, partition: int) -> None:
        """Take note of an answer to a fetch."""
        self._fetched[partition] = self._monotonic()

    def unread(self, commands: TopicPartition, since: float) -> float:
        """
        For how many seconds no fetch of a partition was answered; it is read *since*.

        What was fetched and waits to be taken is not fetched again meanwhile.
        """
        number = commands.partition
        if self._consumer is not None and commands in _waiting(self._consumer):
            self.fetched(number)
        return self._monotonic() - max(since, self._fetched.get(number, since))

    def watch(self, consumer: AIOKafkaConsumer) -> None:
        """Look at the answers to a consumer's requests from now on."""
        self._consumer = consumer
        client = consumer._client  # noqa: SLF001 -- aiokafka shows no sign of life
        send: Callable[..., Any] = client.send

        async def watched(node_id: int, request: Any, **options: Any) -> Any:
            is_joining = isinstance(request, (JoinGroupRequest, SyncGroupRequest))
            self._joining += is_joining
            try:
                answer = await send(node_id, request, **options)
            finally:
                self._joining -= is_joining
            if isinstance(request, FetchRequest):
                self._note(answer)
            elif isinstance(request, _SIGNS) and answer.error_code in _FINE:
                self.beat()
            elif isinstance(request, _SIGNS):
                self._doubt(answer.error_code)
            return answer

        client.send = watched  # type: ignore[method-assign]  # on this one alone

    def _note(self, answer: Any) -> None:
        for _topic, partitions in answer.topics:
            for number, error_code, *_records in partitions:
                if not error_code:
                    self.fetched(number)

    def _doubt(self, error_code: int) -> None:
        """Take note where the group does not know a member that it should."""
        is_unknown = error_code == UnknownMemberIdError.errno
        is_early = self._monotonic() - self._at < self._session
        if error_code == _FENCED_INSTANCE_ID or (is_unknown and is_early):
            self.is_replaced = True


def has_given_up(consumer: AIOKafkaConsumer) -> bool:
    """Whether a consumer's own task has ended, by an error that it did not expect."""
    fetcher = consumer._fetcher  # noqa: SLF001 -- `getmany` says nothing of it
    return fetcher is not None and fetcher.error_future.done()


def _waiting(consumer: AIOKafkaConsumer) -> Any:
    """Return the partitions of which it has records that nobody has taken."""
    fetcher = consumer._fetcher  # noqa: SLF001 -- aiokafka does not tell
    return () if fetcher is None else fetcher._records  # noqa: SLF001 -- nor here
