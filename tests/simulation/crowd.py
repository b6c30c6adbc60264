"""
Commands come together in some runs, on one job by two routes: their starts are in flight at once.

Only the seeds of one residue are crowded, and what is drawn for it comes from a luck of
its own: the runs of all other seeds stay what they are.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

BY_FILES = (
    "job-1"  # several starts at once where files tell them apart, else by the key
)
AT_ONCE = 4
_OF, _WHICH = 16, 13  # no planted bug begins at a seed of this residue but its own
_NUMBERS = range(201, 213)


@dataclass
class InFlight:
    """
    What each node has in flight on each job, by what Jet is asked for.

    *together* says of every start that was sent beside others whether it may be.
    """

    now: dict[tuple[str, str], list[set[str]]] = field(default_factory=dict)
    together: list[tuple[str, bool]] = field(default_factory=list)

    @contextmanager
    def one(self, node: str, job_id: str, paths: set[str]) -> Iterator[None]:
        """Take note of one start, from its leaving until its answer."""
        others = self.now.setdefault((node, job_id), [])
        if others:
            is_apart = job_id != BY_FILES or not any(paths & each for each in others)
            is_right = is_apart and len(others) < AT_ONCE
            self.together.append((f"{sorted(paths)} on {job_id}", is_right))
        others.append(paths)
        try:
            yield
        finally:
            others.remove(paths)


def crowd(seed: int, jobs: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return the commands that come together; none in most runs."""
    if seed % _OF != _WHICH:
        return []
    luck = Random(f"crowd {seed}")
    job = luck.choice((BY_FILES, BY_FILES, *jobs))
    return [_command(luck, number, job) for number in _NUMBERS]


def _command(luck: Random, number: int, job: str) -> dict[str, Any]:
    paths = [f"/c{number}/0.mov"]
    if luck.random() < 0.5:
        paths.append(f"/shared/{luck.randrange(2)}.mov")
    return {
        "type": "send",
        "commandId": f"c{number}",
        "route": luck.choice((f"to-{job}", f"also-to-{job}")),
        "objects": [{"relativePath": p, "sizeInBytes": 100 * number} for p in paths],
    }
