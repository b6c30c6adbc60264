"""`jetworker cancel` and `resolve` of all commands in a state or on a route."""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import typer
from typing_extensions import override

from jetworker.cli import output, unanswered
from jetworker.cli.exit_codes import FAILED, OK, REJECTED
from jetworker.cli.interrupt import interruptible
from jetworker.cli.listing import Selection, readable
from jetworker.cli.publish import publish_all
from jetworker.cli.watch import heard_from_now_on
from jetworker.config.model import Config
from jetworker.core.delivery import Delivery, State
from jetworker.core.finished import Finished
from jetworker.kafka.reader import Place, places, tail
from jetworker.wire import commands
from jetworker.wire.events import ReadEvent
from jetworker.wire.printed import OrderedData, OrdersData, RefusalData
from jetworker.wire.record import Record

_SHOWN = 20  # commands


@dataclass(frozen=True, slots=True)
class Order:
    """A cancel or a resolve, without the command that it is about."""

    type: Literal["cancel", "resolve"]
    action: str | None = None

    def can_be_about(self, place: Place) -> bool:
        """Whether it would not be refused, as far as the state topic knows."""
        delivery = place.snapshot
        if not isinstance(delivery, Delivery):
            return False
        if self.type == "resolve":
            return delivery.state is State.HELD and delivery.pending is None
        waits = delivery.state in {State.ACCEPTED, State.WAITING}
        return waits and delivery.attempt == 0

    def encode(self, command_id: str) -> bytes:
        """Return the record's value."""
        fields = {"commandId": command_id, "type": self.type, "action": self.action}
        present = {name: each for name, each in fields.items() if each is not None}
        return commands.encode(present)

    @override
    def __str__(self) -> str:
        """Return how it is called on the command line."""
        return self.action or self.type


class _Answers:
    """What was answered since it listens, by where the order is in the commands topic."""

    def __init__(self) -> None:
        self.told: dict[tuple[int, int], ReadEvent] = {}
        self._new = asyncio.Event()

    async def gather(self, events: AsyncIterator[ReadEvent]) -> None:
        """Take every answer, for ever."""
        async for event in events:
            if event.kind in {"command.applied", "command.rejected"}:
                self.told[event.data["partition"], event.data["offset"]] = event
                self._new.set()

    def missing(self, orders: Iterable[tuple[int, int]]) -> set[tuple[int, int]]:
        """Return which of these have no answer."""
        return set(orders) - self.told.keys()

    async def until_all(self, orders: Iterable[tuple[int, int]]) -> None:
        """Wait until each of these has an answer."""
        waiting = set(orders)
        while self.missing(waiting):
            self._new.clear()
            await self._new.wait()


async def order_all(
    config: Config,
    order: Order,
    selection: Selection,
    *,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """
    Publish an order to every command that fits and can take it, and tell the answers.

    0 also where nothing fits, 2 if any was refused, 1 if any was not answered.
    """
    now = datetime.now(UTC)
    chosen = [
        each
        for each in readable(await places(config))
        if selection.fits(each, now) and order.can_be_about(each)
    ]
    if not as_json:
        _show(order, chosen)
    if dry_run or not chosen:
        answers: Mapping[str, ReadEvent] = {}
    elif not is_confirmed(f"{order} {count(chosen)}?", yes=yes):
        return REJECTED
    else:
        answers = await _carry_out(config, order, chosen)
    if as_json:
        output.document(_document(order, chosen, answers, dry_run=dry_run))
    elif chosen and not dry_run:
        _tell(chosen, answers)
    if dry_run:
        return OK
    refused = any(each.kind == "command.rejected" for each in answers.values())
    return REJECTED if refused else (OK if len(answers) == len(chosen) else FAILED)


def is_confirmed(question: str, *, yes: bool) -> bool:
    """
    Ask whoever is at the terminal; without one, *yes* must have been given.

    Ctrl-C ends the command as it does elsewhere, raises CancelledError.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        output.remark("nobody can be asked here: say --yes to do it")
        return False
    try:
        with interruptible():
            return typer.confirm(question, err=True)
    except typer.Abort as exc:
        if not isinstance(exc.__context__, KeyboardInterrupt):
            raise
        typer.echo(err=True)  # what was asked is in a line without an end
        raise asyncio.CancelledError from exc


def count(chosen: list[Place]) -> str:
    """Return how many commands these are, in words."""
    return f"{len(chosen)} command{'' if len(chosen) == 1 else 's'}"


def _show(order: Order, chosen: list[Place]) -> None:
    verb = "fits" if len(chosen) == 1 else "fit"
    output.say(f"{order}: {count(chosen)} {verb}")
    routes = Counter(each.snapshot.route for each in chosen)
    for route, number in sorted(routes.items()):
        output.say(f"  {number} on {route}")
    for each in chosen[:_SHOWN]:
        output.say(f"  {each.snapshot.command_id}")
    if len(chosen) > _SHOWN:
        output.say(f"  and {len(chosen) - _SHOWN} more")


async def _carry_out(
    config: Config, order: Order, chosen: list[Place]
) -> Mapping[str, ReadEvent]:
    """Listen first, then publish, so that no answer is missed."""
    listening = asyncio.Event()
    answers = _Answers()
    gathering = asyncio.create_task(answers.gather(tail(config, None, listening)))
    tasks = [gathering]
    try:
        await heard_from_now_on(listening, gathering)
        records = [_record(config, order, each) for each in chosen]
        where = await publish_all(config, records)
        waiting = asyncio.create_task(answers.until_all(where))
        doubting = asyncio.create_task(
            unanswered.say_why(config, lambda: answers.missing(where))
        )
        tasks += [waiting, doubting]
        await asyncio.wait(
            (waiting, gathering),
            timeout=unanswered.GIVEN_UP_AFTER,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if gathering.done():  # Kafka is away: what was answered by now is what is known
            gathering.exception()
        if missing := answers.missing(where):
            await unanswered.give_up(config, missing)
    finally:
        for each in tasks:
            each.cancel()
    return {
        place.snapshot.command_id: answers.told[each]
        for place, each in zip(chosen, where, strict=True)
        if each in answers.told
    }


def _record(config: Config, order: Order, place: Place) -> Record:
    name = place.snapshot.command_id
    return Record(
        config.topics.commands,
        name.encode(),
        order.encode(name),
        partition=place.partition,
    )


def _tell(chosen: list[Place], answers: Mapping[str, ReadEvent]) -> None:
    applied = sum(e.kind == "command.applied" for e in answers.values())
    output.say(f"carried out: {applied}")
    for name, event in answers.items():
        if event.kind == "command.rejected":
            why = event.data["reason"]
            output.say(f"refused: {name}: {why['code']}: {why['message']}")
    for each in chosen:
        if each.snapshot.command_id not in answers:
            output.remark(f"{each.snapshot.command_id}: no answer")


def _document(
    order: Order,
    chosen: list[Place],
    answers: Mapping[str, ReadEvent],
    *,
    dry_run: bool,
) -> OrdersData:
    return OrdersData(
        type=order.type,
        action=order.action,
        dry_run=dry_run,
        orders=tuple(
            _ordered(each, answers.get(each.snapshot.command_id)) for each in chosen
        ),
    )


def _state(snapshot: Delivery | Finished) -> State:
    return snapshot.published if isinstance(snapshot, Delivery) else snapshot.state


def _ordered(place: Place, event: ReadEvent | None) -> OrderedData:
    snapshot = place.snapshot
    why: Any = event.data.get("reason") if event else None
    answer: Literal["applied", "rejected"] | None = None
    if event is not None:
        answer = "applied" if event.kind == "command.applied" else "rejected"
    return OrderedData(
        command_id=snapshot.command_id,
        route=snapshot.route,
        state=_state(snapshot),
        answer=answer,
        reason=RefusalData(code=why["code"], message=why["message"]) if why else None,
    )
