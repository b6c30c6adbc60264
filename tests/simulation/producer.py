"""aiokafka's transactional producer as the worker uses it, on the simulated broker."""

import asyncio
from collections.abc import Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaTimeoutError
from aiokafka.producer.message_accumulator import BatchBuilder

from tests.simulation.broker import Broker, Transaction
from tests.simulation.node import Node
from tests.simulation.trouble import Trouble
from tests.support.batches import records_of


@dataclass(frozen=True)
class Acknowledged:
    """What a producer is told of a batch: where it begins."""

    offset: int


class Producer:
    """A transactional producer."""

    def __init__(
        self,
        broker: Broker,
        node: Node,
        trouble: Trouble,
        transactional_id: str,
        timeout: float,
    ) -> None:
        self._broker = broker
        self._node = node
        self.trouble = trouble
        self._id = transactional_id
        self._timeout = timeout
        self._epoch = -1
        self._has_intent = False
        self._transaction: Transaction | None = None

    async def start(self) -> None:
        """Obtain an epoch."""
        epoch = None
        while epoch is None:
            self.trouble.strike()
            epoch = await self._node.call("fence", lambda: self._broker.open(self._id))
            if epoch is None:
                await self._broker.settled(self._id)
        self.trouble.strike()
        self._epoch = epoch

    async def partitions_for(self, topic: str) -> set[int]:
        """Return a topic's partitions."""
        return set(range(self._broker.shown(topic)))

    async def begin_transaction(self) -> None:
        """Nothing yet: the first call to the broker begins it."""
        self._transaction = None
        self._has_intent = False

    async def send_offsets_to_transaction(
        self, offsets: dict[TopicPartition, Any], group_id: str
    ) -> None:
        """Add offsets to the transaction, which begins with this."""
        transaction = await self._begun()
        transaction.offsets.update({tp: each.offset for tp, each in offsets.items()})
        transaction.group = group_id
        self.trouble.strike()

    async def _begun(self) -> Transaction:
        """Begin the transaction with the first call that belongs to it."""
        if self._transaction is not None:
            return self._transaction
        transaction = None
        while transaction is None:
            self.trouble.strike()
            transaction = await self._node.call(
                "begin", lambda: self._broker.begin(self._id, self._epoch)
            )
            if transaction is None:
                await self._broker.settled(self._id)
        self._transaction = transaction
        asyncio.get_running_loop().call_later(
            self._timeout,
            self._broker.expire,
            self._id,
            transaction,
            context=Context(),
        )
        return transaction

    async def send(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        partition: int,
        headers: Sequence[tuple[str, bytes]],
    ) -> "asyncio.Future[Acknowledged]":
        """Send a record; the future knows whether it arrived."""
        batch = BatchBuilder(0, 0, is_transactional=1)
        batch.append(timestamp=None, key=key, value=value, headers=headers)
        return await self.send_batch(batch, topic, partition=partition)

    async def send_batch(
        self, batch: BatchBuilder, topic: str, *, partition: int
    ) -> "asyncio.Future[Acknowledged]":
        """Send a batch; the future knows whether it arrived."""
        records = records_of(batch)
        where = TopicPartition(topic, partition)

        def apply() -> int:
            transaction = self._broker.running(self._id, self._epoch)
            offsets = [
                self._broker.append(
                    where, each.key, each.value, tuple(each.headers), transaction
                )
                for each in records
            ]
            return offsets[0]

        await self._begun()
        self._has_intent |= any(
            b'"state":"starting"' in (each.value or b"") for each in records
        )
        done: asyncio.Future[Acknowledged] = asyncio.get_running_loop().create_future()
        if self.trouble.strikes():
            done.set_exception(KafkaTimeoutError())
            done.exception()  # retrieved: an earlier one may have failed already
        else:
            offset = await self._node.call("send a batch", apply)
            done.set_result(Acknowledged(offset))
        return done

    async def commit_transaction(self) -> None:
        """Commit; the answer may be lost, and then nobody knows."""
        self.trouble.strike()
        label = "commit an intent" if self._has_intent else "commit"
        await self._node.call(label, lambda: self._broker.commit(self._id, self._epoch))
        self.trouble.strike()
