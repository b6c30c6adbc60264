"""
Routes are moved to other jobs in some runs: the routes file is read again.

What is moved has commands that wait for their turn, or that are unknown on the job it led
to. What its route says of the new job is no word about the old one: one job lists nothing
and shows nothing, its only start is lost, and its only route is moved to one of which all
is stated. Routes name their jobs by id in a third of these runs, by name in the others.

Only the seeds of some residues have it, and what is drawn for it comes from a luck of its
own: the runs of all other seeds stay what they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.simulation.crowd import AT_ONCE, BY_FILES
from tests.simulation.jet import JOBS
from tests.simulation.past import EXCLUSIVE, STATED

LONELY = "job-5"
_ROUNDED = 1e-6  # seconds: an intent has its time in whole microseconds
_OF, _WHICH = 31, (11, 13)  # no planted bug but its own begins there, nor is one kept
# Each job has two routes. Several starts at once by the key, or where files tell.
LEADS = {
    f"{name}-{job}": job for job in (*JOBS, EXCLUSIVE) for name in ("to", "also-to")
}
_SAYS = {
    STATED: ", exclusive: true, listing: complete",
    EXCLUSIVE: ", exclusive: true",
}


def routes(leads: Mapping[str, str] = LEADS, by: str = "job_id") -> str:
    """Return the routes file in which each route leads to a job, and says what it is."""
    return "routes:\n" + "".join(
        f"  {name}: {{{by}: {job}, starts_at_once:"
        f" {'auto' if job == BY_FILES else AT_ONCE}{_SAYS.get(job, '')}}}\n"
        for name, job in leads.items()
    )


@dataclass
class Moves:
    """
    What is drawn for it; *leads* are the routes as the file at *path* has them now.

    *waiting* and *unknown* are the commands whose routes were moved meanwhile.
    """

    luck: Random
    path: Path
    by: str
    leads: dict[str, str]
    waiting: int = 0
    unknown: int = 0
    read: dict[str, list[tuple[float, Mapping[str, str]]]] = field(default_factory=dict)

    @classmethod
    def of(cls, seed: int, folder: Path) -> "Moves | None":
        """Return it for a seed in which routes are moved."""
        if seed % _OF not in _WHICH:
            return None
        luck = Random(f"moves {seed}")
        by = luck.choice(("job_id", "job_name", "job_name"))
        leads = LEADS | {f"to-{LONELY}": LONELY}
        made = cls(luck, folder / "moving.yaml", by, leads)
        made.write()
        return made

    def write(self) -> None:
        """Write the file as the routes lead now."""
        self.path.write_text(routes(self.leads, self.by))

    def move(self, job_id: str) -> list[str]:
        """Let a route of a job lead to another one, or both of them."""
        of = [name for name, job in self.leads.items() if job == job_id]
        moved = of if self.luck.random() < 0.6 else of[:1]
        others = [job for job in (*JOBS, EXCLUSIVE) if job != job_id]
        self.lead(moved, self.luck.choice(others))
        return moved

    def lead(self, moved: list[str], job_id: str) -> None:
        """Let routes lead to a job."""
        self.leads |= dict.fromkeys(moved, job_id)
        self.write()

    def knows(self, node: str, at: float, leads: Mapping[str, str]) -> None:
        """Take note of what a worker has read."""
        self.read.setdefault(node, []).append((at, leads))

    def led_to(self, node: str, route: str, since: float) -> set[str]:
        """Return where a route has led since then, as a worker knew."""
        known = self.read[node]
        ends = [at for at, _ in known[1:]] + [float("inf")]
        return {
            leads[route]
            for (_, leads), end in zip(known, ends, strict=True)
            if end >= since - _ROUNDED
        }
