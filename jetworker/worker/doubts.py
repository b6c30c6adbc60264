"""Jobs with a start of this worker that is unknown: others wait until it is settled."""

import asyncio

from jetworker.core.command import CommandId, JobId


class Doubts:
    """One unknown start at a time on a job is looked up with far less doubt than two."""

    def __init__(self) -> None:
        self._jobs: dict[JobId, set[CommandId]] = {}
        self._fewer = asyncio.Condition()

    def add(self, job_id: JobId, command_id: CommandId) -> None:
        """Keep other starts off a job until this one is settled or held."""
        self._jobs.setdefault(job_id, set()).add(command_id)

    async def remove(self, command_id: CommandId) -> None:
        """Let others start again, as far as it is up to this one."""
        async with self._fewer:
            for job_id, doubted in list(self._jobs.items()):
                doubted.discard(command_id)
                if not doubted:
                    del self._jobs[job_id]
            self._fewer.notify_all()

    async def none(self, job_id: JobId) -> None:
        """Wait until no start keeps others off the job."""
        async with self._fewer:
            await self._fewer.wait_for(lambda: job_id not in self._jobs)
