"""
The rows of R2 left out, one at a time, and the world in which that makes doubles.

Each is a change of a copy of `core/witness.py`; it must apply exactly once. The rows hold
each other up: 2.3 alone notices most of what 2.4 and 2.7 forbid, so these two are left
out where 2.3 is blind as well. Row 2.1 is the worker's (it is not to look too early): the
simulation plants it, "no settle".
"""

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jetworker

# Nothing but what the list shows can tell: no files, no statement, nobody else.
_BARE = {
    "listing": "all",
    "limit": None,
    "behind": 0,
    "chance": 0.0,
    "replica": 0,
    "files": "absent",
    "exclusive": False,
    "complete": False,
    "has_strangers": False,
    "noise": 0.0,
    "pace": 2.0,
}
_NO_GAP = ("gap=_not_older(gone, oldest),", "gap=None,")


@dataclass(frozen=True)
class LeftOut:
    """
    A row that is left out by *edits*, from right to wrong.

    It makes a double of seed *first*, in a world of which *world* is not drawn.
    """

    row: str
    edits: tuple[tuple[str, str], ...]
    first: int = 0
    world: dict[str, Any] = field(default_factory=dict)

    @property
    def fixed(self) -> dict[str, Any]:
        """What is not drawn of the world."""
        return _BARE | self.world

    def plant(self, folder: Path) -> None:
        """Copy the package into *folder*, without this row."""
        assert jetworker.__file__ is not None
        copy = folder / "jetworker"
        shutil.copytree(Path(jetworker.__file__).parent, copy)
        module = copy / "core" / "witness.py"
        source = module.read_text()
        for right, wrong in self.edits:
            assert source.count(right) == 1, f"{self.row}: {right} has changed"
            source = source.replace(right, wrong)
        module.write_text(source)


ROWS = (
    LeftOut(
        "2.2: few known ones are enough",
        (("if seen.known < ENOUGH_KNOWN:  # 2.2", "if seen.known < 0:  # 2.2"),),
        11,
        {
            "listing": "not failed",
            "failing": 0.5,
            "before": 0,
            "pace": 5.0,
            "lengths": [0.5],
        },
    ),
    LeftOut(
        "2.3: gaps are not seen",
        (_NO_GAP,),
        0,
        {"listing": "not failed", "failing": 0.3, "before": 20},
    ),
    LeftOut(
        "2.4: it need not reach back",
        (
            _NO_GAP,
            (
                "if seen.first_end is None or seen.first_end >= window.lo:  # 2.4",
                "if seen.first_end is None and False:  # 2.4",
            ),
        ),
        5,
        {"listing": "active", "before": 20, "pace": 0.5, "lengths": [0.5, 300.0]},
    ),
    LeftOut(
        "2.5: it need not be fresh",
        (
            (
                "if seen.last_start is None or seen.last_start <= window.hi:  # 2.5",
                "if seen.last_start is None and False:  # 2.5",
            ),
        ),
        4,
        {
            "listing": "newest",
            "limit": 15,
            "behind": 15,
            "before": 30,
            "queued": 20.0,
            "lengths": [0.5, 100.0],
        },
    ),
    LeftOut(
        "2.6: it need not show what has not begun",
        (
            (
                "has_waiting=row.has_waiting or seen.waiting is not None,  # 2.6",
                "has_waiting=True,  # 2.6",
            ),
        ),
        7,
        {
            "listing": "begun",
            "before": 20,
            "queued": 19.0,
            "lengths": [0.5, 100.0],
        },
    ),
    LeftOut(
        "2.7: it may be full",
        (
            _NO_GAP,
            (
                "is_uncut=row.is_uncut or grown or is_newest_part,  # 2.7",
                "is_uncut=True,  # 2.7",
            ),
        ),
        0,
        {"listing": "by id", "limit": 25, "before": 20},
    ),
    LeftOut(
        "2.8: a gap is forgotten",
        (
            (
                "    if gap is not None:  # 2.3, 2.8\n",
                "    gap = seen.gap\n    if gap is not None:  # 2.3, 2.8\n",
            ),
        ),
        33,
        {
            "listing": "moving",
            "before": 12,
            "pace": 5.0,
            "lengths": [0.5, 100.0],
            "failing": 0.0,
        },
    ),
    LeftOut(
        "R2b: a statement is believed whatever contradicts it",
        (
            (
                "        unstated=_not_older(gone, oldest_of_all)\n"
                "        if look.listed\n"
                "        else next((x for x, at in gone"
                " if at > look.began - _PURGED_AFTER), None),\n",
                "        unstated=None,\n",
            ),
        ),
        0,
        {"listing": "active", "complete": True, "before": 3},
    ),
)

NOTHING_AGAIN = LeftOut(
    "no absence is ever believed",
    (("LOOKS = 3  #", "LOOKS = 1000  #"),),
    world={"complete": True, "before": 3},
)
