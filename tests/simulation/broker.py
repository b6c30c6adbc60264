"""
Kafka as far as exactly-once needs it: logs, transactions, fencing, group offsets.

What real brokers do and fakes often do not: an open transaction hides everything after
it (the last stable offset), a commit returns before its markers are written, markers
take offsets, offsets in a transaction become visible with it, and a newer producer of
the same id aborts what the older one left open.
"""

import asyncio
import zlib
from collections import defaultdict
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import cached_property
from random import Random

from aiokafka import TopicPartition
from aiokafka.errors import ProducerFenced

from jetworker.wire.events import ReadEvent, read
from jetworker.wire.snapshots import Snapshot, decode
from tests.simulation.late import LateBroker
from tests.simulation.node import current

BEGINNING = 1_800_000_000
Headers = tuple[tuple[str, bytes], ...]


class Fate(Enum):
    """What has become of a transaction."""

    OPEN = auto()
    COMMITTED = auto()
    ABORTED = auto()


@dataclass(eq=False)
class Transaction:
    """
    One transaction: decided at once, shown when its markers are written.

    *writer* and *epoch* are its producer's, *decided* is its place among all.
    """

    writer: str
    epoch: int
    decided: int = 0
    fate: Fate = Fate.OPEN
    group: str = ""
    touched: dict[TopicPartition, int] = field(default_factory=dict)
    offsets: dict[TopicPartition, int] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Entry:
    """
    One record in a log; a marker has neither *key*, *value* nor *transaction*.

    Consumers are given it as it is. The judges read it again and again, and decode it
    once.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    transaction: Transaction | None = None
    is_marker: bool = False

    @cached_property
    def event(self) -> ReadEvent:
        """What it tells, as a record of the events topic."""
        return read(self)

    @cached_property
    def snapshot(self) -> Snapshot:
        """What it keeps, as a record of the state topic under a command's id."""
        assert self.value is not None
        return decode(self.value)


@dataclass
class Log:
    """
    One partition; *unstable* has the first offset of every undecided transaction.

    Each of those *waiting* is done when a record comes.
    """

    entries: list[Entry] = field(default_factory=list)
    unstable: dict[Transaction, int] = field(default_factory=dict)
    waiting: "list[asyncio.Future[None]]" = field(default_factory=list)

    @property
    def end(self) -> int:
        """The high watermark."""
        return len(self.entries)

    @property
    def stable_end(self) -> int:
        """The last stable offset: nothing from here on is shown."""
        return min(self.unstable.values(), default=self.end)

    def committed(self) -> list[Entry]:
        """Return what a reader of committed records sees."""
        return [e for e in self.entries[: self.stable_end] if is_shown(e)]


def wake(waiting: "asyncio.Future[None]") -> None:
    """Let who waits go on."""
    if not waiting.done():
        waiting.set_result(None)


def is_shown(entry: Entry) -> bool:
    """Whether a reader of committed records is given this entry."""
    if entry.is_marker:
        return False
    return entry.transaction is None or entry.transaction.fate is Fate.COMMITTED


@dataclass
class Identity:
    """What the coordinator knows of one transactional id."""

    epoch: int = -1
    transaction: Transaction | None = None
    is_settling: bool = False
    settled: asyncio.Event = field(default_factory=asyncio.Event)


class Broker:
    """
    One Kafka, for all simulated processes.

    *offsets* are where reading stands, whichever group it was; *groups* knows each.
    """

    def __init__(self, partitions: dict[str, int], luck: Random) -> None:
        self.partitions = partitions
        self.logs = {
            TopicPartition(topic, n): Log()
            for topic, count in partitions.items()
            for n in range(count)
        }
        self.late: LateBroker | None = None
        self.topic_ids = {topic: f"{topic}-1" for topic in partitions}
        self.offsets: dict[TopicPartition, int] = {}
        self.groups: defaultdict[str, dict[TopicPartition, int]] = defaultdict(dict)
        self.went_back: list[str] = []
        self.transactions: list[Transaction] = []
        self._identities: dict[str, Identity] = {}
        self._luck = luck
        self._grown = asyncio.Event()

    async def grown(self) -> None:
        """Wait until some log has grown."""
        await self._grown.wait()

    def append(
        self,
        partition: TopicPartition,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        transaction: Transaction | None = None,
        timestamp: int | None = None,
    ) -> int:
        """Append a record and return its offset; *timestamp* is its producer's word."""
        log = self.logs[partition]
        now = int((BEGINNING + asyncio.get_running_loop().time()) * 1000)
        now = now if timestamp is None else timestamp
        entry = Entry(*partition, log.end, now, key, value, headers, transaction)
        if transaction is not None:
            log.unstable.setdefault(transaction, entry.offset)
            transaction.touched.setdefault(partition, entry.offset)
        log.entries.append(entry)
        for each in log.waiting:
            wake(each)
        self._announce()
        return entry.offset

    def grow(self, topic: str, partitions: int) -> None:
        """Give a topic more partitions."""
        if self.late is not None:
            now = asyncio.get_running_loop().time()
            self.late.miss(topic, self.partitions[topic], now)
        for number in range(self.partitions[topic], partitions):
            self.logs[TopicPartition(topic, number)] = Log()
        self.partitions[topic] = partitions

    def shown(self, topic: str) -> int:
        """Return how many partitions a topic has, as one of the brokers knows."""
        count = self.partitions[topic]
        if self.late is None:
            return count
        return self.late.show(topic, count, asyncio.get_running_loop().time())

    def empty(self, topic: str) -> None:
        """Delete a topic and make it anew."""
        for partition in self.logs:
            if partition.topic == topic:
                self.logs[partition] = Log()

    def place(self, topic: str, key: bytes | None) -> TopicPartition:
        """Return the partition of a key."""
        return TopicPartition(topic, zlib.crc32(key or b"") % self.partitions[topic])

    def open(self, transactional_id: str) -> int | None:
        """Give a producer its epoch; None: the former's markers are being written."""
        identity = self._identities.setdefault(transactional_id, Identity())
        if identity.is_settling:
            return None
        identity.epoch += 1
        if identity.transaction is not None:
            self._decide(identity, Fate.ABORTED)
            return None
        return identity.epoch

    def begin(self, transactional_id: str, epoch: int) -> Transaction | None:
        """Begin a transaction; None while the last one's markers are being written."""
        identity = self._checked(transactional_id, epoch)
        if identity.is_settling:
            return None
        if identity.transaction is None:
            identity.transaction = Transaction(transactional_id, epoch)
        return identity.transaction

    def running(self, transactional_id: str, epoch: int) -> Transaction:
        """Return the transaction that a producer writes to."""
        transaction = self._checked(transactional_id, epoch).transaction
        assert transaction is not None
        return transaction

    def commit(self, transactional_id: str, epoch: int) -> None:
        """Decide for a transaction; readers see it when its markers are written."""
        self._decide(self._checked(transactional_id, epoch), Fate.COMMITTED)

    def expire(self, transactional_id: str, transaction: Transaction) -> None:
        """Abort a transaction that was left open for too long, and fence its owner."""
        identity = self._identities[transactional_id]
        if identity.transaction is transaction and transaction.fate is Fate.OPEN:
            identity.epoch += 1
            self._decide(identity, Fate.ABORTED)

    async def settled(self, transactional_id: str) -> None:
        """Wait until the markers of the last transaction are written."""
        identity = self._identities[transactional_id]
        while identity.is_settling:
            await identity.settled.wait()

    def _checked(self, transactional_id: str, epoch: int) -> Identity:
        identity = self._identities[transactional_id]
        if identity.epoch != epoch:
            raise ProducerFenced
        return identity

    def _decide(self, identity: Identity, fate: Fate) -> None:
        transaction = identity.transaction
        assert transaction is not None
        transaction.fate = fate
        self.transactions.append(transaction)
        transaction.decided = len(self.transactions)
        identity.transaction = None
        identity.is_settling = True
        identity.settled.clear()
        left = len(transaction.touched) + 1

        def written() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                identity.is_settling = False
                identity.settled.set()

        loop = asyncio.get_running_loop()
        token = current.set(None)  # the broker goes on when the producer is dead
        for partition in transaction.touched:
            delay = self._delay()
            loop.call_later(delay, self._mark, partition, transaction, written)
        delay = self._luck.choice((0.001, 0.1, 0.5))  # another log, another leader
        loop.call_later(delay, self._show_offsets, transaction, written)
        current.reset(token)

    def _delay(self) -> float:
        return self._luck.choice((0.0005, 0.002, 0.01, 0.05, 0.2))

    def _mark(
        self, partition: TopicPartition, transaction: Transaction, then: object
    ) -> None:
        log = self.logs[partition]
        log.entries.append(Entry(*partition, log.end, 0, None, None, is_marker=True))
        log.unstable.pop(transaction, None)
        self._announce()
        assert callable(then)
        then()

    def _show_offsets(self, transaction: Transaction, then: object) -> None:
        if transaction.fate is Fate.COMMITTED:
            for partition, offset in transaction.offsets.items():
                if offset < self.offsets.get(partition, 0):
                    self.went_back.append(f"{partition}: {offset}")
                self.offsets[partition] = offset
                self.groups[transaction.group][partition] = offset
        assert callable(then)
        then()

    def _announce(self) -> None:
        self._grown.set()
        self._grown = asyncio.Event()
