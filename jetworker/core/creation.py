"""What Jet's own ledger adds to an audit: what it made, and for whom."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from jetworker.core.audit import Invariant, Verdict
from jetworker.core.history import History

CREATED = Invariant("Jet made at most one delivery for each accepted command")
MADE = Invariant("a bound delivery was made by Jet, for this command's objects")


@dataclass(frozen=True, slots=True)
class Made:
    """One delivery in Jet's ledger; *is_foreign*: a person's, at the console."""

    delivery_id: str
    paths: tuple[str, ...]
    is_foreign: bool = False


def judge_creations(verdict: Verdict, history: History, made: Iterable[Made]) -> None:
    """
    Judge what Jet made by what was asked for.

    Commands of the same objects are told apart by nothing that Jet shows, so they are
    counted together.
    """
    ours = [each for each in made if not each.is_foreign]
    verdict.checked |= {CREATED: 0, MADE: 0}
    paths = {r.command_id: r.paths for r in history.commands if r.paths}
    accepted = {e.command_id for e in history.events if e.kind == "delivery.accepted"}
    allowed = Counter(paths[each] for each in accepted if each in paths)
    for objects, number in Counter(each.paths for each in ours).items():
        what = f"{number} deliveries of {list(objects[:3])} for {allowed[objects]}"
        verdict.check(CREATED, holds=number <= allowed[objects], what=what)
    by_id = {each.delivery_id: each.paths for each in ours}
    for event in history.events:
        delivery_id = event.data.get("deliveryId")
        if event.kind == "delivery.started" and event.command_id in paths:
            same = by_id.get(str(delivery_id)) == paths[event.command_id]
            what = f"{event.command_id}: {delivery_id}"
            verdict.check(MADE, holds=same, what=what)
