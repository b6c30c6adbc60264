"""The group coordinator: who owns which partition, and who is not heard of any more."""

import asyncio
from collections.abc import Iterable
from typing import Any, Protocol

from aiokafka import TopicPartition

from tests.simulation.node import Node

_TICK = 0.25


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
        member.node.alive_at = asyncio.get_running_loop().time()
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
        while self.generation == generation and self.has(member):
            if all(each in self._joined for each in self._members):
                member.give(self._share(member))
                return
            await asyncio.sleep(0.02)

    async def run(self) -> None:
        """Let out whoever has not been heard of for a session."""
        while True:
            await asyncio.sleep(_TICK)
            now = asyncio.get_running_loop().time()
            for member in list(self._members):
                if member.node.is_responsive:
                    member.node.alive_at = now
                elif now - member.node.alive_at > self._session:
                    self.leave(member)

    def _share(self, member: Any) -> list[TopicPartition]:
        place = self._members.index(member)
        return self._partitions[place :: len(self._members)]

    def _rebalance(self) -> None:
        self.generation += 1
        self._joined = []
        self.changed.set()
        self.changed = asyncio.Event()
