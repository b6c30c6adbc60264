"""`jetworker explain`: where a command is, from the state topic; no worker is needed."""

import sys
from collections.abc import Iterator
from datetime import datetime, timedelta

from jetworker.cli.exit_codes import FAILED, OK
from jetworker.config.model import Config
from jetworker.core.delivery import Delivery, State
from jetworker.core.finished import Finished
from jetworker.kafka.reader import find
from jetworker.wire import times


async def explain(config: Config, command_id: str) -> int:
    """Print what is known of a command; 1 if nothing is."""
    place = await find(config, command_id)
    if place is None:
        days = config.dedupe_window / timedelta(days=1)
        sys.stdout.write(
            f"{command_id}: not known. It was never accepted, or it ended more than"
            f" {days:g} days ago.\n"
        )
        return FAILED
    snapshot = place.snapshot
    lines = [("command", command_id), ("partition", str(place.partition))]
    if isinstance(snapshot, Delivery):
        lines += _open(snapshot, config)
    else:
        lines += _finished(snapshot)
    width = max(len(name) for name, _ in lines)
    for name, text in lines:
        sys.stdout.write(f"{name:<{width}}  {text}\n")
    return OK


def _open(delivery: Delivery, config: Config) -> Iterator[tuple[str, str]]:
    reason = delivery.reason
    yield "state", delivery.state
    yield "because", f"{reason.code}: {reason.message}" if reason else "-"
    yield "route", delivery.route
    yield "attempts", str(delivery.attempt)
    yield "accepted", times.encode(delivery.accepted_at)
    yield from _when("doubted", delivery.doubted_at)
    if delivery.intent is not None:
        yield "start written down", times.encode(delivery.intent.written_at)
        yield from _when("Jet's clock then", delivery.intent.jet_time)
    yield from _when("started", delivery.started_at)
    yield from _when("deadline", delivery.deadline_at)
    yield "job", delivery.job_id or "-"
    yield "delivery", delivery.delivery_id or "-"
    yield "Jet says", delivery.jet_state or "-"
    yield "next", _next(delivery, config)


def _next(delivery: Delivery, config: Config) -> str:
    settle = config.starts.settle.total_seconds()
    match delivery.state:
        case State.ACCEPTED | State.WAITING:
            return "it is started as soon as its route allows"
        case State.CLEARED:
            return "it is started again as soon as its route allows"
        case State.STARTING:
            return "Jet's answer; if its worker died, it is looked up"
        case State.UNCERTAIN:
            return (
                f"it is looked up {settle:.0f} s after it became uncertain, and held"
                f" after {2 * settle + 10:.0f} s if that cannot decide"
            )
        case State.HELD if delivery.pending is not None:
            return "an operator's adopt waits until Jet can be asked"
        case State.HELD:
            return (
                "it is looked at from time to time; look at the job in Jet's console,"
                " then: jetworker resolve COMMAND_ID adopt --delivery-id ID | resend"
                " | abandon"
            )
        case State.STARTED | State.IN_PROGRESS:
            return "Jet is asked how far it is"
        case _:
            return "nothing"


def _finished(finished: Finished) -> Iterator[tuple[str, str]]:
    reason = finished.reason
    yield "state", finished.state
    yield "because", f"{reason.code}: {reason.message}" if reason else "-"
    yield "route", finished.route
    yield "attempts", str(finished.attempt)
    yield from _when("doubted", finished.doubted_at)
    yield from _when("started", finished.started_at)
    yield "finished", times.encode(finished.finished_at)
    yield "job", finished.job_id or "-"
    yield "delivery", finished.delivery_id or "-"
    yield "next", "nothing: its id is remembered for the dedupe window"


def _when(name: str, moment: datetime | None) -> Iterator[tuple[str, str]]:
    if moment is not None:
        yield name, times.encode(moment)
