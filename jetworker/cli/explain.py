"""`jetworker explain`: where a command is, from the state topic; no worker is needed."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

from jetworker.cli import output
from jetworker.cli.exit_codes import FAILED, OK
from jetworker.config.model import Config
from jetworker.core.delivery import Delivery, FailedObjects, ReasonCode, State
from jetworker.core.finished import Finished
from jetworker.kafka.reader import Place, Unreadable, find
from jetworker.wire import times
from jetworker.wire.printed import ExplainedData, ListedData, listed
from jetworker.wire.units import counted

TURN = (
    "after the starts before it on the route and on the job, and as the calls to Jet"
    " allow (jet.requests_per_second)"
)


@dataclass(frozen=True, slots=True)
class Next:
    """What happens next by itself, or what is to be done, and the commands for it."""

    text: str
    commands: tuple[str, ...] = ()


async def explain(config: Config, command_id: str, *, as_json: bool) -> int:
    """Print what is known of a command; 1 if nothing is, or if it cannot be read."""
    place = await find(config, command_id)
    if place is None:
        nothing = _unknown(config)
        if as_json:
            _print_json(command_id, None, None, nothing)
        else:
            output.say(f"{command_id}: not known. {nothing.text}")
        return FAILED
    if isinstance(place, Unreadable):
        if as_json:
            _print_json(command_id, place.partition, None, Next(place.why))
        else:
            output.say(place.why)
        return FAILED
    snapshot = place.snapshot
    following = next_step(snapshot, config)
    if as_json:
        data = listed(snapshot, place.changed_at)
        _print_json(command_id, place.partition, data, following)
        return OK
    lines = [*facts(command_id, place), ("next", following.text)]
    lines += [("", command) for command in following.commands]
    width = max(len(name) for name, _ in lines)
    for name, text in lines:
        output.say(f"{name:<{width}}  {text}")
    return OK


def facts(command_id: str, place: Place) -> list[tuple[str, str]]:
    """Return what is known of a command, as names and texts."""
    lines = [("command", command_id), ("partition", str(place.partition))]
    match place.snapshot:
        case Delivery():
            lines += _open(place.snapshot, place.changed_at)
        case Finished():
            lines += _finished(place.snapshot)
        case _:
            assert_never(place.snapshot)
    return [*lines, ("changed", times.encode(place.changed_at))]


def _print_json(
    command_id: str,
    partition: int | None,
    facts: ListedData | None,
    following: Next,
) -> None:
    output.document(
        ExplainedData(
            command_id=command_id,
            partition=partition,
            delivery=facts,
            next=following.text,
            commands=following.commands,
        )
    )


def _unknown(config: Config) -> Next:
    days = config.dedupe_window / timedelta(days=1)
    return Next(
        f"It was never accepted, or it ended more than {days:g} days ago.",
        ("jetworker dead-letters list",),
    )


def _open(delivery: Delivery, changed_at: datetime) -> Iterator[tuple[str, str]]:
    reason = delivery.reason
    yield "state", delivery.state
    yield "because", f"{reason.code}: {reason.message}" if reason else "-"
    if reason is not None and delivery.state.is_startable:
        yield "told", f"{times.encode(changed_at)}, and not told when it is over"
    yield "route", delivery.route
    yield "attempts", str(delivery.attempt)
    yield "accepted", times.encode(delivery.accepted_at)
    yield from _when("expires", delivery.expires_at)
    yield from _when("doubted", delivery.doubted_at)
    if delivery.intent is not None:
        yield "start written down", times.encode(delivery.intent.written_at)
        yield from _when("Jet's clock then", delivery.intent.jet_time)
    yield from _when("started", delivery.started_at)
    yield from _when("deadline", delivery.deadline_at)
    yield "job", delivery.job_id or "-"
    yield "delivery", delivery.delivery_id or "-"
    yield "Jet says", delivery.jet_state or "-"


def _finished(finished: Finished) -> Iterator[tuple[str, str]]:
    reason = finished.reason
    yield "state", finished.state
    yield "because", f"{reason.code}: {reason.message}" if reason else "-"
    yield "route", finished.route
    yield "attempts", str(finished.attempt)
    yield from _when("accepted", finished.accepted_at)
    yield from _when("doubted", finished.doubted_at)
    yield from _when("started", finished.started_at)
    yield "finished", times.encode(finished.finished_at)
    yield "job", finished.job_id or "-"
    yield "delivery", finished.delivery_id or "-"
    if finished.progress is not None:
        failed = finished.progress.failed.count
        moved = counted(finished.progress.transferred.count, "object")
        yield "moved", f"{moved}, {failed} failed"
    yield from _failed(finished.failed_objects)


def _failed(failed: FailedObjects | None) -> Iterator[tuple[str, str]]:
    if failed is None:
        return
    yield "failed", counted(failed.count, "object")
    for path in failed.paths:
        yield "", path


def _when(name: str, moment: datetime | None) -> Iterator[tuple[str, str]]:
    if moment is not None:
        yield name, times.encode(moment)


def next_step(snapshot: Delivery | Finished, config: Config) -> Next:
    """Return what happens next to a command, and what somebody has to do for it."""
    if isinstance(snapshot, Finished):
        return _after(snapshot)
    settle = config.starts.settle.total_seconds()
    name = snapshot.command_id
    match snapshot.state:
        case State.ACCEPTED:
            return Next(f"it is started at its turn: {TURN}")
        case State.WAITING if snapshot.reason is not None:
            return _waits(snapshot, snapshot.reason.code)
        case State.WAITING:
            return Next(f"it is started at its turn: {TURN}")
        case State.CLEARED:
            if snapshot.reason is not None:
                waits = _waits(snapshot, snapshot.reason.code)
                return Next(f"it is started again: {waits.text}", waits.commands)
            return Next(f"it is started again at its turn: {TURN}")
        case State.STARTING:
            return Next("Jet's answer; if its worker died, it is looked up")
        case State.UNCERTAIN:
            return Next(
                f"it is looked up from {settle:g} s after it became uncertain on; if it"
                f" could not be decided {2 * settle + 10:g} s after it became uncertain,"
                " it is held"
            )
        case State.HELD if snapshot.pending is not None:
            then = ", ".join(order.kind for order in snapshot.orders)
            behind = f"; then it is the turn of: {then}" if then else ""
            return Next(f"an operator's adopt waits until Jet can be asked{behind}")
        case State.HELD:
            return Next(
                "it is looked at from time to time and may still be adopted by itself;"
                f" or look at the job {snapshot.job_id or ''} in Jet's console and"
                " decide: adopt the delivery that is its own, resend if there is none"
                " (should there be one, its objects are sent twice), or abandon it",
                (
                    f"jetworker resolve {name} adopt --delivery-id DELIVERY_ID",
                    f"jetworker resolve {name} resend",
                    f"jetworker resolve {name} abandon",
                ),
            )
        case State.STARTED | State.IN_PROGRESS:
            return Next("Jet is asked how far it is", (f"jetworker watch {name}",))
        case State.COMPLETED | State.FAILED | State.CANCELLED:
            return Next("nothing: it has ended")
        case _:
            assert_never(snapshot.state)


def _waits(delivery: Delivery, code: ReasonCode) -> Next:
    """
    Return what ends a wait, and what it means if what was told is over by now.

    That is not told, and so not on the topics: only its worker knows.
    """
    cure = _cure(delivery, code)
    return Next(
        f"{cure.text}. If that is over by now, it waits for its turn: {TURN}; its"
        " worker's status page says what it waits for now",
        cure.commands,
    )


def _cure(delivery: Delivery, code: ReasonCode) -> Next:
    """Return what ends a wait, for each thing that may be in the way."""
    cancel = f"jetworker cancel {delivery.command_id}"
    route = delivery.route
    match code:
        case ReasonCode.JOB_PAUSED:
            job = delivery.job_id or "JOB"
            return Next(
                f"resume the job of the route {route} in Jet's console or from here; it"
                " is started within a minute after that",
                (f"jetworker jobs resume {job}", cancel),
            )
        case ReasonCode.ROUTE_PAUSED:
            return Next(
                f"set paused: false for the route {route} in the routes file; it is"
                " read again within seconds, and no restart is needed",
                (cancel,),
            )
        case ReasonCode.LIMIT:
            return Next(
                f"it is started when a delivery of the route {route} ends, or when its"
                " max_active in the routes file or limits.max_active is raised",
                (f"jetworker list --route {route}",),
            )
        case ReasonCode.JET_UNAVAILABLE:
            return Next(
                "nothing is to be done here: it is started when Jet answers again",
                ("jetworker check",),
            )
        case ReasonCode.UNAUTHORIZED:
            return Next(
                "repair jet.client_id and jet.client_secret, or what they are allowed"
                f" at Jet on the job of the route {route}; it goes on by itself, and no"
                " restart is needed where the secret is in a file",
                ("jetworker check",),
            )
        case ReasonCode.JOB_UNAVAILABLE:
            return Next(
                f"repair the route {route} in the routes file, or its job or storage"
                " profiles at Jet: the reason above says which; it goes on by itself",
                ("jetworker check", "jetworker jobs list", "jetworker profiles list"),
            )
        case _:  # no other code makes a delivery wait
            return Next("it is started as soon as its route allows")


def _after(finished: Finished) -> Next:
    """Return what may be done about a command that has ended."""
    again = (f"jetworker resend {finished.command_id}",)
    remembered = "its id is remembered for the dedupe window"
    if finished.state is State.COMPLETED:
        return Next(f"nothing: {remembered}")
    match finished.reason.code if finished.reason else None:
        case ReasonCode.OBJECTS_FAILED:
            return Next(
                "see why at Jet, then send what failed, or all of it, as a new command",
                (f"jetworker resend {finished.command_id} --failed-only", *again),
            )
        case ReasonCode.JOB_NOT_FOUND:
            return Next("correct the route's job_id, then send it again", again)
        case ReasonCode.JOB_PAUSED:
            return Next("resume the job, then send it again", again)
        case ReasonCode.REJECTED_BY_JET:
            return Next("repair what Jet said above, then send it again", again)
        case ReasonCode.EXPIRED:
            return Next("nothing was sent; without its expiry it can be again", again)
        case ReasonCode.DEADLINE_EXCEEDED:
            return Next(
                "Jet may still be at work: look at the delivery there before you send"
                " it again",
                again,
            )
        case ReasonCode.ABANDONED:
            return Next("an operator gave it up; it can be sent again", again)
        case None:
            return Next(f"nothing was started; {remembered}", again)
        case _:
            return Next("see why at Jet, then send it again", again)
