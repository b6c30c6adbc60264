"""
May I start on this job now? One start at a time, and none that could be another's (R5).

A start whose window overlaps that of an unknown post of this worker could not be told
from it. So others wait until Jet can have applied it no longer; then they go on, and are
the witnesses by which it is settled.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime

from jetworker.core.command import CommandId, JobId
from jetworker.core.jet_clock import AGREED, CUT, is_past

_UNHEARD = 1.0  # seconds: Jet's clock is asked for meanwhile
_MARGIN = 0.001  # seconds: a window ends at its end, not before


class JobLocks:
    """The starts of one worker on each job: in flight, and unknown."""

    def __init__(self) -> None:
        self._sending: defaultdict[JobId, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._unknown: defaultdict[JobId, dict[CommandId, datetime]] = defaultdict(dict)
        self._listeners: list[Callable[[], None]] = []

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call *listener* whenever a job may be free again."""
        self._listeners.append(listener)

    def start(self, job_id: JobId) -> AbstractAsyncContextManager[None]:
        """Have the job for one start, once the one that is being sent is over."""
        return self._sending[job_id]

    def hold(self, job_id: JobId, command_id: CommandId, hi: datetime) -> None:
        """Keep others off the job while Jet may apply this post, until *hi* (R5.1)."""
        unknown = self._unknown[job_id]
        unknown[command_id] = max(hi, unknown.get(command_id, hi))

    def release(self, job_id: JobId, command_id: CommandId) -> None:
        """Let others start again, as far as it is up to this one: settled, or held."""
        if self._unknown[job_id].pop(command_id, None) is not None:
            for listener in self._listeners:
                listener()

    def blocked_for(
        self, job_id: JobId, command_id: CommandId, jet_time: datetime | None
    ) -> float:
        """
        Return for how many seconds no start may be written down for a command; 0: go on.

        The next attempt of a command whose route says resend goes at once.
        """
        unknown = self._unknown[job_id]
        if jet_time is None:
            return _UNHEARD if unknown.keys() - {command_id} else 0.0
        for other in [x for x, hi in unknown.items() if is_past(jet_time, hi)]:
            del unknown[other]
        others = [hi for other, hi in unknown.items() if other != command_id]
        if not others:
            return 0.0
        left = max(others) - (jet_time - AGREED - CUT)
        return left.total_seconds() + _MARGIN
