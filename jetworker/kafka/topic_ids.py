"""
The id of a topic, which is another one when a topic is deleted and made anew (KIP-516).

And how many partitions topics have now: aiokafka itself asks every few minutes.

aiokafka speaks Metadata up to version 5; ids came with 10. What is needed of version 12
is written down here, until aiokafka asks for it itself.
"""

import asyncio
from io import BytesIO
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
    """Return how many partitions topics have now; raises aiokafka's errors."""
    try:
        answer = await _answer(client, _MetadataRequest(*topics))
    except NotImplementedError:  # a broker before 2.8
        await client.force_metadata_update()
        return tuple(
            len(client.cluster.partitions_for_topic(topic) or ()) for topic in topics
        )
    found = {topic[1]: topic for topic in answer.topics}
    for topic in topics:
        if found[topic][0]:
            raise for_code(found[topic][0])
    return tuple(len(found[topic][4]) for topic in topics)
