"""The group coordinator: who owns which partition, and who is not heard of any more."""

import asyncio
from collections.abc import Iterable
from contextvars import Context
from functools import partial
from typing import Any, Protocol

from aiokafka import TopicPartition

from tests.simulation.node import Node

_TICK = 0.25  # the coordinator lets members out at whole ticks


class Member(Protocol):
    """A consumer in the group."""

    node: Node
    generation: int

    def give(self, partitions: Iterable[TopicPartition]) -> None:
        """Take an assignment."""


class Group:
    """Shares partitions among the members that answer, eagerly, as our clients do."""

    def __init__(self, partitions: list[TopicPartition], session: float) -> None:
        self._partitions = partitions
        self._session = session
        self._members: list[Any] = []
        self._joined: list[Any] = []
        self._owners: dict[TopicPartition, Any] = {}
        self.generation = 0
        self.changed = asyncio.Event()
        self._is_joined = asyncio.Event()
        self._watched: set[Node] = set()

    @property
    def is_alive(self) -> bool:
        """Whether it has members."""
        return bool(self._members)

    def grow(self, partitions: list[TopicPartition]) -> None:
        """Share these, too, from now on."""
        self._partitions = partitions
        self._rebalance()

    def has(self, member: Any) -> bool:
        """Whether the coordinator still counts this member in."""
        return member in self._members

    def join(self, member: Any) -> None:
        """Let a member in: everybody has to give back what it has and join anew."""
        self._watch(member.node)
        self._members.append(member)
        self._rebalance()

    def leave(self, member: Any) -> None:
        """Let a member out."""
        if self.has(member):
            self._members.remove(member)
            self._rebalance()

    async def rejoin(self, member: Any, generation: int) -> None:
        """Wait until every member has given back, then take what is given."""
        self._joined.append(member)
        self._look()
        while self.generation == generation and self.has(member):
            if all(each in self._joined for each in self._members):
                member.give(self._share(member))
                return
            await self._is_joined.wait()

    def _look(self) -> None:
        """Let those who wait to be joined look whether all are."""
        if all(each in self._joined for each in self._members):
            self._is_joined.set()

    def _watch(self, node: Node) -> None:
        """Let a process out when it has not been heard of for a session."""
        if node not in self._watched:
            self._watched.add(node)
            node.falls_silent.append(partial(self._miss, node))
        if not node.is_responsive:  # it fell silent while it joined
            self._miss(node)

    def _miss(self, node: Node) -> None:
        """Look again when a session is over since its last heartbeat."""
        loop = asyncio.get_running_loop()
        heard = loop.time() // _TICK * _TICK
        late = heard + self._session + _TICK
        loop.call_at(late, self._let_out, node, node.silent_at, context=Context())

    def _let_out(self, node: Node, since: float) -> None:
        if node.is_responsive or node.silent_at != since:
            return
        for member in [each for each in self._members if each.node is node]:
            self.leave(member)

    def _share(self, member: Any) -> list[TopicPartition]:
        place = self._members.index(member)
        return self._partitions[place :: len(self._members)]

    def _rebalance(self) -> None:
        self.generation += 1
        self._joined = []
        self._is_joined.set()  # who waits is behind, and looks
        self._is_joined = asyncio.Event()
        self.changed.set()
        self.changed = asyncio.Event()
