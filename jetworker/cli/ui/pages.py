"""The pages as templates draw them: escaped, without a style or a script of their own."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined

from jetworker.core.delivery import State
from jetworker.core.installation import Group, Page, Row
from jetworker.wire import times, units

PAGE = 50
# How a state is marked, beside its name: never by the colour alone.
MARKS = {
    State.HELD: "bad",
    State.UNCERTAIN: "bad",
    State.FAILED: "bad",
    State.WAITING: "wait",
    State.CLEARED: "wait",
    State.COMPLETED: "good",
}
# The groups as they are offered, with what each means.
GROUPS = {
    Group.OPEN: "not ended yet",
    Group.WAITING: "not started yet",
    Group.RUNNING: "at Jet",
    Group.UNCERTAIN: "start being looked up",
    Group.HELD: "an operator decides",
    Group.FAILED: "ended without success",
    Group.COMPLETED: "everything delivered",
    Group.CANCELLED: "ended before the start",
}


@dataclass(frozen=True, slots=True)
class Paging:
    """Where a page stands in what was found."""

    total: int
    offset: int
    shown: int
    path: str
    query: Mapping[str, str]

    @property
    def first(self) -> int:
        """The number of the first one shown, counted from 1."""
        return self.offset + 1 if self.shown else 0

    @property
    def last(self) -> int:
        """The number of the last one shown."""
        return self.offset + self.shown

    @property
    def before(self) -> str | None:
        """The address of the page before, None on the first."""
        return self._at(max(0, self.offset - PAGE)) if self.offset else None

    @property
    def after(self) -> str | None:
        """The address of the page after, None on the last."""
        return self._at(self.offset + PAGE) if self.last < self.total else None

    def _at(self, offset: int) -> str:
        query = {**self.query, **({"offset": str(offset)} if offset else {})}
        return link(self.path, query)


def paging(
    found: Page[Any], offset: int, path: str, query: Mapping[str, str]
) -> Paging:
    """Return where *found* stands."""
    return Paging(found.total, offset, len(found.items), path, query)


def link(path: str, query: Mapping[str, str]) -> str:
    """Return an address with the parameters that say something."""
    said = {name: value for name, value in query.items() if value}
    return f"{path}?{urlencode(said)}" if said else path


def environment() -> Environment:
    """Return the templates with what they may use."""
    made = Environment(
        loader=PackageLoader("jetworker.cli.ui"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "size": units.size,
        "counted": units.counted,
        "stamp": stamp,
        "iso": times.encode,
        "quoted": lambda text: quote(text, safe=""),
        "share": share,
    }
    made.globals |= {
        "MARKS": MARKS,
        "GROUPS": GROUPS,
        "link": link,
        "span": units.span,
    }
    return made


def stamp(moment: datetime) -> str:
    """Return a moment as people compare it: in UTC, to the second."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def share(row: Row) -> int | None:
    """Return how much of a delivery is moved, in percent; None if nobody can say."""
    if row.progress is None or row.requested is None or not row.requested.bytes:
        return None
    return min(100, 100 * row.progress.transferred.bytes // row.requested.bytes)
