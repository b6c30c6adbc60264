"""`jetworker list`: every command that the state topic knows, and which of them fit."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from jetworker.cli import output
from jetworker.cli.exit_codes import FAILED, OK
from jetworker.config.model import Config
from jetworker.core.delivery import Delivery, State
from jetworker.kafka.reader import Place, Unreadable, places
from jetworker.wire.listed_state import ListedState
from jetworker.wire.printed import ListedData, listed

_NAMED = 20  # commands that cannot be read
_AS_TOLD = (
    "why a command waits is as it was told when it last changed; if that is over by now,"
    " it waits for its turn (explain)"
)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which commands are meant; None is all."""

    state: ListedState | None = None
    route: str | None = None
    since: timedelta | None = None

    def fits(self, place: Place, now: datetime) -> bool:
        """Whether a command is meant; *since* counts from its last change."""
        return (
            (self.state is None or self.state in states(place))
            and (self.route is None or self.route == place.snapshot.route)
            and (self.since is None or place.changed_at >= now - self.since)
        )


def states(place: Place) -> frozenset[str]:
    """Return the words for where a command is: what its events say, and `held`."""
    snapshot = place.snapshot
    if not isinstance(snapshot, Delivery):
        return frozenset({snapshot.state.value})
    held = {State.HELD.value} if snapshot.state is State.HELD else set()
    return frozenset({snapshot.published.value, *held})


def readable(found: Iterable[Place | Unreadable]) -> list[Place]:
    """Return what can be read, and say which commands cannot."""
    shown, hidden = [], []
    for each in found:
        if isinstance(each, Place):
            shown.append(each)
        else:
            hidden.append(each)
    for one in hidden[:_NAMED]:
        output.remark(one.why)
    if len(hidden) > _NAMED:
        output.remark(f"and that of {len(hidden) - _NAMED} more")
    return shown


async def list_commands(
    config: Config, selection: Selection, limit: int | None, *, as_json: bool
) -> int:
    """
    Print the commands that fit, the oldest change first; the rest is counted.

    1 if the state of any cannot be read, for it may be one of them; it is named.
    """
    now = datetime.now(UTC)
    everything = await places(config)
    known = readable(everything)
    found = [each for each in known if selection.fits(each, now)]
    shown = found if limit is None else found[:limit]
    rows = [listed(each.snapshot, each.changed_at) for each in shown]
    if as_json:
        for row in rows:
            output.line(row)
    else:
        columns = ("command", "route", "state", "why", "changed", "delivery")
        output.table(columns, [_row(row) for row in rows])
        if any(row.state == State.WAITING.value and row.reason for row in rows):
            output.remark(_AS_TOLD)
    if len(shown) < len(found):
        output.remark(f"{len(found) - len(shown)} of {len(found)} are not shown")
    return OK if len(known) == len(everything) else FAILED


def _row(row: ListedData) -> tuple[str, ...]:
    return (
        row.command_id,
        row.route,
        row.state,
        row.reason.code if row.reason else "",
        row.changed_at,
        row.delivery_id or "",
    )
