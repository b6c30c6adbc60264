"""
What was before a run: a job of which deliveries of ours are known.

With few known nothing is ever proven of what a job lists (R2), and a run is too short to
make many. So some runs begin with a history: snapshots on the state topic of commands
that ended an hour ago, and Jet's documents of their deliveries. All commands of such a
run go to that job, and some come so late that they testify for what was lost before.
"""

from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any

from jetworker.core.command import ObjectSpec
from tests.simulation.documents import EPOCH, Delivery
from tests.support.history import a_known

SHARED = "job-1"
STATED = "job-3"  # it lists everything, nobody else starts on it, and its route says so
EXCLUSIVE = "job-4"  # nobody else starts on it, and its route says only that
_OF, _WHICH = 16, (8, 14)  # seeds of these residues, but the traps
_BEGAN, _BETWEEN = -3600.0, 60.0
_MOVED_FOR = 1.0
_QUEUED_FOR_LONG = 25.0
# Twice what can be proven complete, and what only looks so.
_LISTINGS = (
    *("all", "all", "all", "all", "newest 40", "newest 40", "newest 14", "behind 2"),
    *("active", "ended", "begun", "begun", "behind 30", "by chance"),
    *("oldest 20", "any 14", "any 14", "nothing"),
)


@dataclass(frozen=True)
class Past:
    """
    One job, what its document lists, and so many *known* deliveries.

    *queued* are the seconds for which a delivery has not begun there; *is_filed*: its
    files are shown. The start of the number *lost* is lost; *luck* decides who else starts
    at this moment, the worst.
    """

    job_id: str
    listing: str
    known: int
    queued: float
    is_filed: bool
    lost: int
    luck: Random
    is_trap: bool = False

    def deliveries(self) -> list[Delivery]:
        """Return what Jet has of it."""
        return [
            Delivery(
                delivery_id=f"p-{number}",
                job_id=self.job_id,
                command_id=_command_id(number),
                objects=_objects(number),
                created_at=_BEGAN + _BETWEEN * number,
                seconds=_MOVED_FOR,
                shown_at=_BEGAN,
            )
            for number in range(self.known)
        ]

    def snapshots(self) -> dict[bytes, bytes]:
        """Return what the state topic has of it."""
        return {
            each.delivery_id.replace("p-", "k").encode(): _snapshot(
                each, has_ended=self.has_ended(each)
            )
            for each in self.deliveries()
        }

    def has_ended(self, made: Delivery) -> bool:
        """Whether one from before has ended; else only its command has, long ago."""
        return made.seconds == _MOVED_FOR

    def shape(self, made: Delivery) -> None:
        """Let a new delivery wait as all do here."""
        made.queue(self.queued)

    def lose(self, made: Delivery) -> None:
        """Let a new delivery that is lost wait for longer than others, perhaps."""
        is_long = self.listing == "begun" and self.luck.random() < 0.7
        made.queue(_QUEUED_FOR_LONG if is_long else self.queued)

    def stranger(
        self, job_id: str, objects: list[dict[str, Any]]
    ) -> list[dict[str, Any]] | None:
        """
        Return what somebody else starts when a start of these is lost, if anybody.

        On a job that is stated to be exclusive nobody does: a route may have been moved.
        """
        if {self.job_id, job_id} != {SHARED} or self.luck.random() >= 0.3:
            return None
        first, size = objects[0]["relativePath"], objects[0]["sizeInBytes"]
        more = {"relativePath": "/else/more.mov", "sizeInBytes": size}
        alike = {"relativePath": f"/else{first}", "sizeInBytes": size}
        many = [alike | {"relativePath": f"/else/{n}.mov"} for n in range(500)]
        # Where no files are shown, nobody sends what is as many and as large (A5).
        alone = [alike] if self.is_filed else many
        return self.luck.choice(([*objects, more], alone, many))


def draw(seed: int) -> Past | None:
    """
    Return the past of a run, None if nothing was before.

    It is drawn from a luck of its own: a run without one is as it always was.
    """
    if seed % _OF not in _WHICH:
        return None
    luck = Random(f"past {seed}")
    job_id = luck.choice((SHARED, SHARED, EXCLUSIVE, EXCLUSIVE, EXCLUSIVE, STATED))
    listing = luck.choice(_LISTINGS)
    known = luck.choice((12, 12, 14, 24))
    if job_id == EXCLUSIVE and luck.random() < 0.3:
        known = 0
    if job_id == STATED:  # or what refutes it at once
        listing = luck.choice(("all", "nothing"))
    if listing in {"newest 14", "any 14", "oldest 20"}:
        known = max(known, 24)
    queued = luck.choice((1.0, 2.0))
    is_filed = listing != "nothing" and luck.random() < 0.4
    lost, left = luck.randrange(3), Random(luck.random())
    return Past(job_id, listing, known, queued, is_filed, lost, left)


def _command_id(number: int) -> str:
    return f"k{number}"


def _objects(number: int) -> list[dict[str, Any]]:
    return [{"relativePath": f"/k{number}/0.mov", "sizeInBytes": 7_000 + number}]


def _snapshot(made: Delivery, *, has_ended: bool) -> bytes:
    asked = made.objects[0]
    spec = ObjectSpec(asked["relativePath"], asked["sizeInBytes"])
    began = EPOCH + timedelta(seconds=made.created_at)
    name = made.command_id or ""
    ended = began if has_ended else None
    return a_known(name, made.job_id, made.delivery_id, spec, began, ended)
