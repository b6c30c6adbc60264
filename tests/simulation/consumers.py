"""aiokafka's consumers as the worker uses them, on the simulated broker."""

import asyncio
from collections.abc import Iterable

from aiokafka import ConsumerRebalanceListener, TopicPartition

from jetworker.kafka.pulse import Pulse
from tests.simulation.broker import Broker, Entry, is_shown, wake
from tests.simulation.group import Group
from tests.simulation.node import Node
from tests.simulation.trouble import Trouble

HEARTBEAT = 0.3  # a tenth of the session, as the worker asks for


class Reader:
    """A consumer without a group."""

    _fetcher = None  # aiokafka's own, of which the worker asks whether it has ended

    def __init__(
        self,
        broker: Broker,
        node: Node,
        trouble: Trouble,
        what: TopicPartition | str,
        *,
        is_raw: bool = False,
    ) -> None:
        self._broker = broker
        self._node = node
        self._trouble = trouble
        self._is_raw = is_raw
        self._paused: set[TopicPartition] = set()
        if isinstance(what, TopicPartition):
            self._positions = {what: 0}
        else:
            count = broker.shown(what)
            self._positions = {TopicPartition(what, n): 0 for n in range(count)}

    def assignment(self) -> set[TopicPartition]:
        """Return what it reads."""
        return set(self._positions)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read on from there."""
        self._positions[partition] = offset

    async def seek_to_beginning(self, *partitions: TopicPartition) -> None:
        """Begin with the first record."""
        for partition in partitions:
            self._positions[partition] = 0

    def pause(self, *partitions: TopicPartition) -> None:
        """Do not read these any more."""
        self._paused.update(partitions)

    async def beginning_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """Return where the logs begin."""
        return dict.fromkeys(partitions, 0)

    async def position(self, partition: TopicPartition) -> int:
        """Return where it stands."""
        return self._positions[partition]

    async def end_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """Return where the logs end."""
        wanted = list(partitions)
        self._trouble.strike()
        return await self._node.call(
            "ask for the ends", lambda: {tp: self._end(tp) for tp in wanted}
        )

    async def getmany(
        self, *, timeout_ms: int, max_records: int
    ) -> dict[TopicPartition, list[Entry]]:
        """Return what is new, after a while if nothing is."""
        self._trouble.strike()
        found = await self._node.call("read", lambda: self._take(max_records))
        if not found:
            await asyncio.sleep(timeout_ms / 1000)
        return found

    def _end(self, partition: TopicPartition) -> int:
        log = self._broker.logs[partition]
        return log.end if self._is_raw else log.stable_end

    def _take(self, most: int) -> dict[TopicPartition, list[Entry]]:
        found = {}
        for partition, position in self._positions.items():
            if partition in self._paused:
                continue
            end = min(self._end(partition), position + most)
            entries = self._broker.logs[partition].entries[position:end]
            self._positions[partition] = end
            shown = [each for each in entries if is_shown(each)]
            if shown:
                found[partition] = shown
        return found


class GroupMember:
    """A consumer of the commands topic in the group."""

    def __init__(
        self,
        broker: Broker,
        group: Group,
        node: Node,
        trouble: Trouble,
        name: str,
        pulse: Pulse,
    ) -> None:
        self._name = name
        self._pulse = pulse
        self.node = node
        self._trouble = trouble
        self.generation = -1
        self._broker = broker
        self._group = group
        self._positions: dict[TopicPartition, int | None] = {}
        self._paused: set[TopicPartition] = set()
        self._waiting: asyncio.Future[None] | None = None

    def give(self, partitions: Iterable[TopicPartition]) -> None:
        """Take an assignment; positions are asked for by whoever reads."""
        self._positions = dict.fromkeys(partitions)
        self._paused = set()

    async def follow(self, listener: ConsumerRebalanceListener) -> None:
        """Give back and take partitions whenever the group changes, for ever."""
        while True:
            await self.node.gate()
            if not self._group.has(self):
                await self._revoke(listener)
                self._group.join(self)
            generation = self._group.generation
            if generation == self.generation:
                changed = self._group.changed
                await changed.wait()
                await asyncio.sleep(self.node.luck.uniform(0.0, HEARTBEAT))
                continue
            await self._revoke(listener)
            await self.node.gate()
            await self._group.rejoin(self, generation)
            if self._group.generation == generation and self._group.has(self):
                self.generation = generation
                await listener.on_partitions_assigned(sorted(self._positions))

    async def _revoke(self, listener: ConsumerRebalanceListener) -> None:
        given, self._positions = self._positions, {}
        await listener.on_partitions_revoked(sorted(given))

    def partitions_for_topic(self, topic: str) -> set[int]:
        """Return the partitions that a topic has."""
        return set(range(self._broker.shown(topic)))

    def assignment(self) -> set[TopicPartition]:
        """Return what it was given."""
        return set(self._positions)

    def paused(self) -> set[TopicPartition]:
        """Return what it does not read for now."""
        return set(self._paused)

    def pause(self, *partitions: TopicPartition) -> None:
        """Do not read these for now."""
        self._paused.update(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        """Read these again."""
        self._paused.difference_update(partitions)
        if self._waiting is not None:
            wake(self._waiting)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read on from there."""
        if partition in self._positions:
            self._positions[partition] = offset

    async def position(self, partition: TopicPartition) -> int:
        """Return where it stands."""
        sought = self._positions[partition]
        assert sought is not None
        return sought

    def last_stable_offset(self, partition: TopicPartition) -> int:
        """Return where what is readable ends."""
        return self._broker.logs[partition].stable_end

    def highwater(self, partition: TopicPartition) -> int:
        """Return where the log ends."""
        return self._broker.logs[partition].end

    async def committed(self, partition: TopicPartition) -> int | None:
        """Return where the group stands."""
        self._trouble.strike()
        return await self.node.call(
            "ask for the offset",
            lambda: self._broker.groups[self._name].get(partition),
        )

    async def beginning_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """Return where the logs begin."""
        return dict.fromkeys(partitions, 0)

    async def end_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """Return where what is readable ends."""
        return {each: self._broker.logs[each].stable_end for each in partitions}

    async def getmany(
        self, *, timeout_ms: int, max_records: int
    ) -> dict[TopicPartition, list[Entry]]:
        """Return what is new as soon as anything is, nothing after a while."""
        await self.node.gate()
        self._trouble.strike()
        for partition in self._positions.keys() - self._paused:
            self._pulse.fetched(partition.partition)
        found = self._take(max_records)
        if not found:
            await self._something(timeout_ms / 1000)
            found = self._take(max_records)
        return found

    async def _something(self, seconds: float) -> None:
        """Wait for a record of what is read, but no longer than so many seconds."""
        loop = asyncio.get_running_loop()
        self._waiting = waiting = loop.create_future()
        timer = loop.call_later(seconds, wake, waiting)
        read = self._positions.keys() - self._paused
        logs = [self._broker.logs[each] for each in read]
        for log in logs:
            log.waiting.append(waiting)
        try:
            await waiting
        finally:
            timer.cancel()
            self._waiting = None
            for log in logs:
                log.waiting.remove(waiting)

    def _take(self, max_records: int) -> dict[TopicPartition, list[Entry]]:
        found = {}
        for partition, sought in self._positions.items():
            if partition in self._paused:
                continue
            position = sought
            if position is None:  # nobody sought: the group's own, as it is now
                position = self._broker.groups[self._name].get(partition, 0)
            log = self._broker.logs[partition]
            end = min(log.stable_end, position + max_records)
            if end > position:
                found[partition] = log.entries[position:end]
                self._positions[partition] = end
        return found
