"""
The id of a topic, which is another one when a topic is deleted and made anew (KIP-516).

And how many partitions topics have now: aiokafka itself asks every few minutes.

aiokafka speaks Metadata up to version 5; ids came with 10. What is needed of version 12
is written down here, until aiokafka asks for it itself.
"""

import asyncio
from collections.abc import Sequence
from io import BytesIO
from math import inf
from typing import Any, ClassVar
from uuid import UUID

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    KafkaConnectionError,
    NodeNotReadyError,
    RequestTimedOutError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)
from typing_extensions import override

_NONE = UUID(int=0)
_PATIENCE = 3.0  # seconds, until the next broker is asked
_GRACE = 1.0  # seconds, for each of the others once one has answered
_NOT_THERE = (
    KafkaConnectionError,
    NodeNotReadyError,
    RequestTimedOutError,
    TimeoutError,
)


class _Uuid(AbstractType[UUID]):
    @classmethod
    @override
    def encode(cls, value: UUID) -> bytes:
        return value.bytes

    @classmethod
    @override
    def decode(cls, data: BytesIO) -> UUID:
        return UUID(bytes=data.read(16))


class _MetadataResponse(Response):
    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _MetadataStruct(RequestStruct):
    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 12
    RESPONSE_TYPE: ClassVar[type[Response]] = _MetadataResponse
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("topic_id", _Uuid),
                ("name", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _MetadataRequest(Request[_MetadataStruct]):
    API_KEY = 3

    def __init__(self, *topics: str) -> None:
        self._topics = topics

    @override
    def build(self, request_struct_class: type[_MetadataStruct]) -> _MetadataStruct:
        asked: list[tuple[UUID, str, dict[int, bytes]]] = [
            (_NONE, topic, {}) for topic in self._topics
        ]
        return request_struct_class(asked, False, False, {})  # noqa: FBT003 -- a protocol's flags


async def _answer(client: AIOKafkaClient, request: _MetadataRequest) -> Any:
    """Ask a broker, any one, and the others after it where it is not there."""
    first = client.get_random_node()
    others = {broker.nodeId for broker in client.cluster.brokers()} - {first}
    failure: Exception | None = None
    for node in (first, *others):
        try:
            async with asyncio.timeout(_PATIENCE):
                return await client.send(node, request)
        except _NOT_THERE as exc:
            failure = exc
    assert failure is not None
    raise failure


async def ask(client: AIOKafkaClient, topic: str) -> str | None:
    """Return a topic's id; raises aiokafka's errors, None if the broker has no ids."""
    try:
        answer = await _answer(client, _MetadataRequest(topic))
    except NotImplementedError:  # a broker before 2.8
        return None
    (found,) = answer.topics
    if found[0]:
        raise for_code(found[0])
    if found[2] == _NONE:
        raise UnknownTopicOrPartitionError
    return str(found[2])


async def count(client: AIOKafkaClient, *topics: str) -> tuple[int, ...]:
    """
    Return how many partitions topics have now; raises aiokafka's errors.

    All brokers are asked, and who shows most is right: any may be late to know of a
    growth, of which a publisher knows already by another.
    """
    try:
        answers = await _answers(client, _MetadataRequest(*topics))
    except NotImplementedError:  # a broker before 2.8
        await client.force_metadata_update()
        return tuple(
            len(client.cluster.partitions_for_topic(topic) or ()) for topic in topics
        )
    found = [{topic[1]: topic for topic in answer.topics} for answer in answers]
    return tuple(_most(topic, [each[topic] for each in found]) for topic in topics)


def _most(topic: str, shown: Sequence[Any]) -> int:
    """Return the most partitions that a broker shows of a topic, if any knows of it."""
    counts = [len(each[4]) for each in shown if not each[0]]
    if not counts:
        raise for_code(shown[0][0])(topic)
    return max(counts)


async def _answers(client: AIOKafkaClient, request: _MetadataRequest) -> list[Any]:
    """
    Ask all brokers at once; who is slow is not waited for when others have answered.

    aiokafka connects to one at a time: those after one that hangs wait for it to be
    given up, and are asked then. There may be many: all together are not waited for
    longer than for the first answer.
    """
    clock = asyncio.get_running_loop().time
    nodes = {broker.nodeId for broker in client.cluster.brokers()}
    asked = [
        asyncio.ensure_future(client.send(node, request))
        for node in nodes or {client.get_random_node()}
    ]
    left = list(asked)
    answers: list[Any] = []
    failure: BaseException = TimeoutError()
    until = inf
    try:
        while left and clock() < until:
            patience = _GRACE if answers else _PATIENCE
            done, _ = await asyncio.wait(
                left,
                timeout=min(patience, until - clock()),
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not done:
                left.pop(0).cancel()
            for each in done:
                left.remove(each)
                # What aiokafka cancels by itself is a broker that is away.
                error = KafkaConnectionError() if each.cancelled() else each.exception()
                if error is None:
                    answers.append(each.result())
                    until = min(until, clock() + _PATIENCE)
                elif not isinstance(failure, NotImplementedError):
                    failure = error
    finally:
        for each in asked:
            each.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
    if not answers:
        raise failure
    return answers
