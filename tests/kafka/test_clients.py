"""What comes out of the Kafka client is translated, its own cancellations too."""

import asyncio
import gc
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import ConcurrentTransactions, ProducerFenced
from aiokafka.producer.sender import AddPartitionsToTxnHandler

from jetworker.core.errors import StoreError
from jetworker.kafka import clients
from jetworker.kafka.clients import bounded, only_our_cancellation


async def cancelled_inside() -> None:
    """Await a task that the client itself has cancelled, as its fetcher does."""
    task = asyncio.create_task(asyncio.sleep(60))
    task.cancel()
    await task


async def test_a_cancellation_of_the_client_s_own_is_an_error_of_kafka() -> None:
    with pytest.raises(StoreError, match="reading: the client of Kafka has"):
        await bounded(cancelled_inside(), "reading")


async def test_a_cancellation_of_ours_goes_through() -> None:
    async def reads() -> None:
        with only_our_cancellation("reading"):
            await asyncio.sleep(60)

    reading = asyncio.create_task(reads())
    await asyncio.sleep(0)
    reading.cancel()

    with pytest.raises(asyncio.CancelledError):
        await reading


async def test_a_time_out_around_it_is_still_a_time_out() -> None:
    async def reads() -> None:
        async with asyncio.timeout(0):
            with only_our_cancellation("reading"):
                await asyncio.sleep(60)

    with pytest.raises(TimeoutError):
        await reads()


async def test_a_cancellation_that_the_client_swallows_is_raised_again() -> None:
    """Its fetcher awaits tasks that it has cancelled, and catches ours with theirs."""

    async def closes() -> None:
        with only_our_cancellation("closing"), suppress(asyncio.CancelledError):
            await asyncio.sleep(60)

    closing = asyncio.create_task(closes())
    await asyncio.sleep(0)
    closing.cancel()

    with pytest.raises(asyncio.CancelledError):
        await closing


def test_a_transaction_that_begins_with_a_record_waits_a_few_milliseconds() -> None:
    """As long as the broker writes the markers of the one before; aiokafka's own is 20."""
    theirs = SimpleNamespace(
        _txn_manager=SimpleNamespace(txn_partitions=set()), _retry_backoff=1.0
    )
    handler = AddPartitionsToTxnHandler(theirs, set())
    busy = SimpleNamespace(errors=[("t", [(0, ConcurrentTransactions.errno)])])

    assert handler.handle_response(busy) == 0.003


async def test_nobody_complains_of_a_failure_after_which_nobody_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As where whoever waited was cancelled, and the closing of the producer too."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, x: complaints.append(x))
    fenced = asyncio.Event()

    async def sends() -> None:
        await fenced.wait()
        raise ProducerFenced

    async def start(self: Any) -> None:
        sender = self._sender
        sender._sender_task = asyncio.create_task(sends())  # noqa: SLF001 -- aiokafka's own
        sender._sender_task.add_done_callback(sender._fail_all)  # noqa: SLF001 -- as above

    monkeypatch.setattr(AIOKafkaProducer, "start", start)
    producer: Any = clients._TransactionalProducer(  # type: ignore[no-untyped-call]  # noqa: SLF001 -- theirs
        bootstrap_servers="nowhere:9092", transactional_id="t"
    )
    await producer.start()
    producer._txn_manager.set_pid_and_epoch(1, 0)  # noqa: SLF001 -- as above
    producer._txn_manager.begin_transaction()  # noqa: SLF001 -- as above
    waiting = producer._message_accumulator  # noqa: SLF001 -- as above
    builder = waiting.create_builder()
    sent = await waiting.add_batch(builder, TopicPartition("jet.state", 0), 1)
    sent.add_done_callback(clients.retrieve)

    fenced.set()
    await asyncio.wait([sent])
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    producer._closed = True  # noqa: SLF001 -- as above
    del producer, waiting, sent, builder
    gc.collect()

    assert complaints == []
