"""What the page shows, kept up to date: three topics, the group and the routes file."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from aiokafka import TopicPartition

from jetworker.config.model import Config
from jetworker.core.command import CommandId, RouteName
from jetworker.core.errors import ConfigurationError, StoreError
from jetworker.core.installation import Gone, Installation, Position
from jetworker.core.route import Route
from jetworker.kafka import group_members
from jetworker.kafka.clients import KafkaClients
from jetworker.kafka.group_members import GroupView
from jetworker.kafka.reader import Onward, pick, read
from jetworker.wire import rows
from jetworker.wire.snapshots import UnreadableSnapshot
from jetworker.worker.route_table import read as read_routes

log = structlog.get_logger()

_LOOK_EVERY = 5.0  # seconds
_AGAIN_AFTER = 2.0  # seconds
_SLICE = 500  # records, before others have a turn


@dataclass
class Seen:
    """
    All that is known now; *trouble* is what cannot be looked at, and why.

    *unreadable* are the commands whose snapshot this version cannot read; nothing else is
    the less up to date for them.
    """

    installation: Installation = field(default_factory=Installation)
    group: GroupView | None = None
    routes: Mapping[RouteName, Route] = field(default_factory=dict)
    trouble: dict[str, str] = field(default_factory=dict)
    loading: set[str] = field(default_factory=set)
    unreadable: dict[str, None] = field(default_factory=dict)
    changes: int = 0

    @property
    def version(self) -> int:
        """A number that grows with every change."""
        return self.installation.version + self.changes


class TopicsFollower:
    """Follows the topics, and reads single records of them when they are asked for."""

    def __init__(self, config: Config) -> None:
        topics = config.topics
        self.seen = Seen(loading={topics.state, topics.events, topics.dead_letters})
        self._config = config
        self._kafka = KafkaClients(config.kafka, topics)

    async def run(self) -> None:
        """Follow everything, for ever; what cannot be reached is tried again."""
        topics = self._config.topics
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow(topics.state, self._take_state))
            tasks.create_task(self._follow(topics.events, self._take_event))
            tasks.create_task(self._follow(topics.dead_letters, self._take_letter))
            tasks.create_task(self._look())

    async def records(self, topic: str, places: Sequence[Position]) -> list[Any]:
        """Return the records (aiokafka's) at these places of one partition."""
        if not places:
            return []
        partition = TopicPartition(topic, places[0].partition)
        offsets = [place.offset for place in places]
        return await pick(self._kafka, partition, offsets)

    async def _follow(self, topic: str, take: Callable[[Any], None]) -> None:
        """Read a topic from its beginning and on; again from there if Kafka fails."""
        while True:
            caught_up = asyncio.Event()
            watching = asyncio.create_task(self._tell_loaded(topic, caught_up))
            try:
                async for batch in read(self._kafka, topic, Onward(caught_up)):
                    for number, record in enumerate(batch):
                        take(record)
                        if number % _SLICE == 0:
                            await asyncio.sleep(0)
            except StoreError as exc:
                self._complain(topic, str(exc))
            finally:
                watching.cancel()
            await asyncio.sleep(_AGAIN_AFTER)

    async def _tell_loaded(self, topic: str, caught_up: asyncio.Event) -> None:
        await caught_up.wait()
        self.seen.loading.discard(topic)
        self._clear(topic)
        self.seen.changes += 1

    def _take_state(self, record: Any) -> None:
        name = rows.text(record.key or b"")
        try:
            found = rows.read_row(record)
        except UnreadableSnapshot:
            at = Position(record.partition, record.offset)
            self.seen.installation.forget(Gone(CommandId(name), at))
            if not self.seen.unreadable:  # one line in the log is enough
                log.warning(
                    "a command is not shown: its state cannot be read by this version",
                    command_id=name,
                )
            self.seen.unreadable[name] = None
            self.seen.changes += 1
            return
        if name in self.seen.unreadable:
            del self.seen.unreadable[name]
            self.seen.changes += 1
        match found:
            case None:
                pass
            case Gone():
                self.seen.installation.forget(found)
            case _:
                self.seen.installation.put(found)

    def _take_event(self, record: Any) -> None:
        found = rows.read_told(record)
        if found is not None:
            self.seen.installation.hear(found)

    def _take_letter(self, record: Any) -> None:
        if replayed := rows.read_mark(record):
            self.seen.installation.mark_replayed(replayed)
        else:
            self.seen.installation.park(rows.read_letter(record))

    async def _look(self) -> None:
        """Look at the group and at the routes file every few seconds."""
        while True:
            self._read_routes()
            try:
                group = await group_members.look(self._config)
            except StoreError as exc:
                self._complain("group", str(exc))
            else:
                self._clear("group")
                self.seen.changes += group != self.seen.group
                self.seen.group = group
            await asyncio.sleep(_LOOK_EVERY)

    def _read_routes(self) -> None:
        try:
            _, routes = read_routes(self._config.routes_file)
        except ConfigurationError as exc:
            self._complain("routes file", str(exc))
            return
        self._clear("routes file")
        self.seen.changes += routes != self.seen.routes
        self.seen.routes = routes

    def _complain(self, about: str, why: str) -> None:
        if self.seen.trouble.get(about) != why:
            log.warning("part of the page cannot be kept up", about=about, error=why)
            self.seen.trouble[about] = why
            self.seen.changes += 1

    def _clear(self, about: str) -> None:
        if self.seen.trouble.pop(about, None) is not None:
            self.seen.changes += 1
