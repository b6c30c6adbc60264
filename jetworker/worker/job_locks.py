"""
May I start on this job now? One start at a time, and none while one is unknown.

An unknown start that is looked up alone has hardly any rival that could be taken for
it. So whoever sends a start takes the job first, and a start whose answer is lost holds
the job until it is settled or held: from the moment it is unknown, before anybody
learns of it.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from jetworker.core.command import CommandId, JobId


class JobLocks:
    """The jobs of one worker on which starts are sent, or kept from being sent."""

    def __init__(self) -> None:
        self._sending: defaultdict[JobId, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._unknown: dict[JobId, set[CommandId]] = {}
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def start(self, job_id: JobId) -> AsyncIterator[None]:
        """
        Have the job for one start.

        Waits for the one that is being sent, then for every one that is unknown: the
        next in line need not look again.
        """
        async with self._sending[job_id]:
            async with self._changed:
                await self._changed.wait_for(lambda: job_id not in self._unknown)
            yield

    def hold(self, job_id: JobId, command_id: CommandId) -> None:
        """Keep other starts off the job: this command's start is unknown."""
        self._unknown.setdefault(job_id, set()).add(command_id)

    async def release(self, command_id: CommandId) -> None:
        """Let others start again, as far as this command kept them off; twice is once."""
        async with self._changed:
            for job_id, holders in list(self._unknown.items()):
                holders.discard(command_id)
                if not holders:
                    del self._unknown[job_id]
            self._changed.notify_all()
