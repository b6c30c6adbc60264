"""
A gateway stands before Jet in some runs, and its clock is not Jet's.

Its answers are pages, or nothing at all; an object of JSON is Jet's own word, and so is
the clock that dates it. A Retry-After of the gateway's may be a date by its clock.

Only the seeds of some residues have one, and what is drawn for it comes from a luck of its
own: the runs of all other seeds stay what they are.
"""

from dataclasses import dataclass, replace
from random import Random

from tests.simulation.documents import http_date
from tests.simulation.reply import Reply

_OF, _WHICH = 31, (5, 27)  # no planted bug but its own begins there, nor is one kept
_SKEWS = (-3600.0, -40.0, 40.0, 3600.0)
_PATIENCE = 2.0
_PAGE = "<html>the gateway</html>"


@dataclass
class Gateway:
    """What is drawn for it; *skew* is by how many seconds its clock is wrong."""

    luck: Random
    skew: float
    answers: int = 0

    @classmethod
    def of(cls, seed: int) -> "Gateway | None":
        """Return it for a seed that has one."""
        if seed % _OF not in _WHICH:
            return None
        luck = Random(f"gateway {seed}")
        return cls(luck, luck.choice(_SKEWS))

    def refuse(self, chance: float) -> Reply | None:
        """Answer in Jet's place, now and then: Jet hears nothing of it."""
        if self.luck.random() >= chance:
            return None
        until = http_date(self.skew + _PATIENCE)
        return self.luck.choice(
            [
                Reply(502, _PAGE),
                Reply(503, None),
                Reply(503, _PAGE, {"retry-after": until}),
                Reply(504, _PAGE),
                Reply(429, _PAGE, {"retry-after": "2"}),
                Reply(429, _PAGE, {"retry-after": until}),
            ]
        )

    def date(self, reply: Reply) -> Reply:
        """Return an answer with the gateway's date, if it is the gateway's."""
        if reply.is_lost or isinstance(reply.body, dict):
            return reply
        self.answers += 1
        return replace(reply, headers={"date": http_date(self.skew)} | reply.headers)
