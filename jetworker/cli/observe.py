"""
`jetworker jobs observe`: what Jet shows of a job, measured on the deliveries we know.

Nobody knows what a job document lists until it was looked at. The same rules that judge
an unknown start are run on what is known, and nothing is started or changed.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from jetworker.cli import output
from jetworker.cli.exit_codes import OK
from jetworker.cli.jobs import jet_client
from jetworker.config.model import Config
from jetworker.core.command import DeliveryId, JobId, RouteName
from jetworker.core.errors import ConfigurationError
from jetworker.core.evidence import LEARNED_FROM, Learned, Lesson, learn
from jetworker.core.witness import ENOUGH_KNOWN, KnownDelivery, Look, Survey, survey
from jetworker.jet.jobs import JobResolver
from jetworker.kafka.clients import KafkaClients
from jetworker.runtime.clock import Clock
from jetworker.wire import times
from jetworker.wire.printed import ObservedJobData
from jetworker.worker import route_table
from jetworker.worker.reconciliation.bindings import Bindings
from jetworker.worker.reconciliation.job_observer import JobObserver

_BETWEEN = 5.0  # seconds between two looks
_NAMED = 5  # deliveries in a line


@dataclass(slots=True)
class _Looks:
    """What looks at one job have shown: all of them, and the last one with the rest."""

    number: int = 0
    gaps: dict[DeliveryId, None] = field(default_factory=dict)
    first_listed: dict[DeliveryId, datetime] = field(default_factory=dict)
    unstated: DeliveryId | None = None
    ever_listed: frozenset[DeliveryId] | None = None
    known: Mapping[DeliveryId, KnownDelivery] = field(default_factory=dict)
    asked: Sequence[DeliveryId] = ()
    last: Survey | None = None
    has_all_files: bool = True

    def add(
        self,
        found: Survey,
        known: Mapping[DeliveryId, KnownDelivery],
        asked: Sequence[DeliveryId],
    ) -> None:
        """Add a look at what is *known*, after which others were *asked* for, too."""
        self.number += 1
        self.known, self.asked, self.last = known, asked, found
        listed = found.look.listed
        if found.gap is not None:
            self.gaps[found.gap] = None
        self.unstated = self.unstated or found.unstated
        if self.ever_listed is not None:
            for each in listed - self.ever_listed:
                self.first_listed.setdefault(each, found.look.ended)
        self.ever_listed = (self.ever_listed or frozenset()) | listed


async def observe(
    config: Config,
    environ: Mapping[str, str],
    name: str,
    seconds: float,
    *,
    as_json: bool,
) -> int:
    """Look at a route's job, once or for so many seconds, and print what it shows."""
    _, routes = route_table.read(config.routes_file)
    route = routes.get(RouteName(name))
    if route is None:
        msg = f"{name}: no such route in the routes file"
        raise ConfigurationError(msg)
    async with jet_client(config, environ) as jet:
        job_id = await JobResolver(jet, Clock()).resolve(route)
        observer = JobObserver(jet)
        looks, until = _Looks(), asyncio.get_running_loop().time() + seconds
        bindings = Bindings(KafkaClients(config.kafka, config.topics))
        while True:
            await _look(job_id, observer, bindings, config.starts.settle, looks)
            if asyncio.get_running_loop().time() >= until:
                break
            await asyncio.sleep(_BETWEEN)
    observed = _observed(name, job_id, looks, observer)
    if as_json:
        output.document(observed)
    else:
        _print(observed)
    return OK


async def _look(
    job_id: JobId,
    observer: JobObserver,
    bindings: Bindings,
    settle: timedelta,
    looks: _Looks,
) -> None:
    """Look at the job once, and ask for a few deliveries: strangers, and our latest."""
    seen = await observer.look(job_id)
    looks.has_all_files = seen.files.is_whole
    known = (await bindings.read(job_id)).known
    asked = sorted(seen.named - known.keys())[:LEARNED_FROM]
    answers = await observer.shown(job_id, {*asked, *_last(known)}, seen.files)
    shown = {each: found for each, found in answers.items() if found is not None}
    look = Look(seen.began, seen.ended, seen.listed, shown)
    looks.add(survey(look, known, settle), known, asked)


def _observed(
    name: str, job_id: JobId, looks: _Looks, observer: JobObserver
) -> ObservedJobData:
    """Return what was seen, and what that means for a start lost now."""
    known, last = looks.known, looks.last
    assert last is not None
    shown, listed = last.look.shown, last.look.listed
    learned = learn(
        Lesson(known[each].asked, shown[each])
        for each in _last(known)
        if each in shown and known[each].is_whole
    )
    if not looks.has_all_files:  # where files may be hidden, nothing goes by sizes
        learned = replace(learned, sizes_tell=False)
    known_listed = len(listed & known.keys())
    lacks = _lacks(
        known_listed, tuple(looks.gaps), has_ended=last.first_end is not None
    )
    strangers = [
        each
        for each in looks.asked
        if each in shown and _is_since_ours(shown[each].created_on, known)
    ]
    forms = sorted(learned.forms, key=str)
    return ObservedJobData(
        route=name,
        job_id=job_id,
        looks=looks.number,
        listed=len(listed),
        known=len(known),
        known_listed=known_listed,
        gaps=tuple(looks.gaps),
        oldest_listed=_oldest(last.starts),
        states=dict(Counter(x.state for x in shown.values())),
        path_forms=tuple(f"{x.prefix} ({x.reading})" for x in forms),
        sizes_tell=learned.sizes_tell,
        clock_difference_seconds=_clock_difference(known, observer),
        listed_after_seconds=_listed_after(looks.first_listed, observer),
        missing=lacks,
        meaning=_meaning(lacks, learned),
        listing=_about_listing(looks.unstated, known_listed),
        exclusive=_about_exclusive(strangers),
    )


def _last(known: Mapping[DeliveryId, KnownDelivery]) -> list[DeliveryId]:
    dated = [(x.made_in.lo, each) for each, x in known.items() if x.made_in]
    return [each for _, each in sorted(dated)[-LEARNED_FROM:]]


def _lacks(
    known_listed: int, gaps: tuple[DeliveryId, ...], *, has_ended: bool
) -> tuple[str, ...]:
    """Return the proofs of absence that a start lost now would lack."""
    lacks = []
    if known_listed < ENOUGH_KNOWN:
        lacks.append("few_known" if known_listed else "nothing_listed")
    if gaps:
        lacks.append("gap")
    if not has_ended:
        lacks.append("no_ended")
    return tuple(lacks)


def _meaning(lacks: tuple[str, ...], learned: Learned) -> str:
    came = "if Jet made it, it is held until an operator says which one it is"
    if learned.forms:
        came = "if Jet made it, it is adopted by its files once it has ended"
    elif learned.sizes_tell:
        came = "if Jet made it, it is adopted by count and bytes once it has ended"
    lost = "if it never came, two later starts on the job let it be made again"
    if lacks:
        lost = f"if it never came, it is held: missing {', '.join(lacks)}"
    return f"A start that is lost on this route now: {came}; {lost}."


def _about_listing(unstated: DeliveryId | None, known_listed: int) -> str:
    if unstated is not None:
        return f"not to be stated: {unstated} is known and not listed"
    if not known_listed:
        return "nothing supports it: no known delivery is listed"
    return f"supported by {known_listed} known deliveries, none was missing"


def _about_exclusive(strangers: list[DeliveryId]) -> str:
    if strangers:
        named = ", ".join(strangers[:_NAMED])
        return f"not to be stated: nobody here started {named}"
    return "supported: every delivery since our first is known"


def _is_since_ours(
    created_on: datetime | None, known: Mapping[DeliveryId, KnownDelivery]
) -> bool:
    """Whether somebody else started it since this group uses the job."""
    first = min((x.made_in.lo for x in known.values() if x.made_in), default=None)
    return created_on is not None and first is not None and created_on > first


def _oldest(starts: Mapping[DeliveryId, datetime] | None) -> str | None:
    oldest = min((starts or {}).values(), default=None)
    return times.encode(oldest) if oldest else None


def _clock_difference(
    known: Mapping[DeliveryId, KnownDelivery], observer: JobObserver
) -> float | None:
    """Return the most by which a date of Jet lies outside of what its clock allows."""
    off: list[float] = []
    for each, of in known.items():
        at = observer.created_on(each)
        if at is not None and of.made_in is not None and of.made_in.lo < of.made_in.hi:
            outside = max(of.made_in.lo - at, at - of.made_in.hi, timedelta(0))
            off.append(outside.total_seconds())
    return max(off, default=None)


def _listed_after(
    first_listed: Mapping[DeliveryId, datetime], observer: JobObserver
) -> float | None:
    """Return the longest time until a new one was listed, as far as we looked."""
    took = [
        (listed - made).total_seconds()
        for each, listed in first_listed.items()
        if (made := observer.created_on(each)) is not None
    ]
    return max(took, default=None)


def _print(seen: ObservedJobData) -> None:
    rows = [
        ("job", seen.job_id),
        ("looks", str(seen.looks)),
        ("listed", f"{seen.known_listed} of {seen.known} known, {seen.listed} in all"),
        ("hidden", ", ".join(seen.gaps[:_NAMED]) or "none"),
        ("oldest listed", seen.oldest_listed or "-"),
        ("states seen", ", ".join(f"{k} {n}" for k, n in seen.states.items()) or "-"),
        ("path form", ", ".join(seen.path_forms) or "not learned"),
        ("sizes", "tell" if seen.sizes_tell else "tell nothing"),
        ("clocks", _or_dash(seen.clock_difference_seconds, "s apart at the most")),
        ("listed after", _or_dash(seen.listed_after_seconds, "s at the most")),
        ("listing: complete", seen.listing),
        ("exclusive: true", seen.exclusive),
    ]
    output.table(("what", "seen"), rows)
    output.say(seen.meaning)


def _or_dash(number: float | None, unit: str) -> str:
    return "-" if number is None else f"{number:.1f} {unit}"
