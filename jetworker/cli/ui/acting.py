"""
The pages that act: what an order means, and once that is confirmed, the order.

Each takes a token that was given to the same browser by a page of ours, and is logged with
who gave it.
"""

import secrets
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
from aiohttp import web

from jetworker.cli.ui.door import Door
from jetworker.cli.ui.drawing import Drawing
from jetworker.cli.ui.follow import Seen
from jetworker.cli.ui.orders import MEANINGS, REPLAY, Action
from jetworker.core.errors import JetworkerError, StoreError
from jetworker.core.installation import STATES, Letter, Position, Query, Row

log = structlog.get_logger()

_MOST_AT_ONCE = 1000  # commands or letters of one action
_MOST_DONE = 100  # actions that can be looked at afterwards
_MOST_ASKED = 1000  # actions that were not confirmed yet
_MOST_LETTERS = 20_000


class Publishes(Protocol):
    """Publishes what was confirmed; all of it raises JetworkerError."""

    async def order(
        self, action: Action, rows: Sequence[Row], delivery_id: str = ""
    ) -> None:
        """Publish an order for each command."""

    async def send_again(
        self, command_ids: Sequence[str], *, failed_only: bool
    ) -> tuple[str, ...]:
        """Send ended commands again, all or none; returns the new ids."""

    async def replay(self, places: Iterable[Position]) -> frozenset[Position]:
        """Publish the records of dead letters again; returns of which."""


@dataclass(frozen=True, slots=True)
class Done:
    """What was published: about which commands, or of which dead letters."""

    heading: str
    verb: str
    who: str
    command_ids: tuple[str, ...] = ()
    letters: tuple[Position, ...] = ()


class ActingPages:
    """Shows what an order means, and publishes it."""

    def __init__(
        self, seen: Seen, publisher: Publishes, door: Door, drawing: Drawing
    ) -> None:
        self._seen = seen
        self._publisher = publisher
        self._door = door
        self._drawing = drawing
        self._done: OrderedDict[str, Done] = OrderedDict()
        self._asked: OrderedDict[str, None] = OrderedDict()

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Serve the pages."""
        router.add_post("/actions", self._act)
        router.add_post("/dead-letters/replay", self._replay)
        router.add_get("/actions/{name}", self._acted)

    async def _act(self, request: web.Request) -> web.Response:
        """Show what an order means; once that is confirmed, publish it."""
        form = await request.post()
        who = self._door.checked(request, str(form.get("token", "")))
        try:
            action = Action(str(form.get("action")))
        except ValueError:
            raise web.HTTPBadRequest(text="There is no such action.") from None
        delivery_id = str(form.get("delivery_id", "")).strip()
        chosen, left_out = self._chosen(form, action)
        if not chosen:
            raise web.HTTPConflict(
                text="Nothing to do: no command that was chosen is in a state for it."
            )
        if action is Action.ADOPT and not delivery_id:
            raise web.HTTPBadRequest(text="Adopting needs the delivery's id.")
        if not form.get("confirmed"):
            return self._drawing.page(
                request,
                "confirm.html",
                action=action,
                meaning=MEANINGS[action],
                rows=chosen,
                left_out=left_out,
                delivery_id=delivery_id,
                once=self._ask_once(),
            )
        if MEANINGS[action].makes_commands:
            self._answer_once(str(form.get("once", "")))
        try:
            done = await self._carry_out(action, chosen, delivery_id, who)
        except StoreError:
            raise
        except JetworkerError as exc:
            raise web.HTTPConflict(text=f"Nothing was published. {exc}") from exc
        raise self._see(done)

    async def _carry_out(
        self, action: Action, chosen: Sequence[Row], delivery_id: str, who: str
    ) -> Done:
        """Publish it and say so in the log; raises JetworkerError."""
        ids = tuple(str(row.command_id) for row in chosen)
        verb = MEANINGS[action].verb
        if MEANINGS[action].makes_commands:
            failed_only = action is Action.SEND_FAILED
            made = await self._publisher.send_again(ids, failed_only=failed_only)
            log.info(
                "commands were sent again by an operator",
                who=who,
                action=action.value,
                commands=len(made),
                command_ids=ids,
                resent_as=made,
            )
            return Done(f"{_counted(made, 'new command')} published", verb, who, made)
        await self._publisher.order(action, chosen, delivery_id)
        log.info(
            "an operator's orders were published, workers answer them",
            who=who,
            action=action.value,
            commands=len(ids),
            command_ids=ids,
        )
        return Done(f"{_counted(ids, 'order')} published", verb, who, ids)

    async def _replay(self, request: web.Request) -> web.Response:
        """Show what a replay means; once that is confirmed, publish it."""
        form = await request.post()
        who = self._door.checked(request, str(form.get("token", "")))
        chosen, left_out = self._chosen_letters(form)
        if not chosen:
            raise web.HTTPConflict(
                text="Nothing to do: no dead letter that was chosen can be replayed."
            )
        if not form.get("confirmed"):
            return self._drawing.page(
                request,
                "confirm_replay.html",
                letters=chosen,
                left_out=left_out,
                consequence=REPLAY,
                reasons=sorted(Counter(each.reason for each in chosen).items()),
            )
        replayed = await self._publisher.replay([each.at for each in chosen])
        places = tuple(each.at for each in chosen if each.at in replayed)
        log.info(
            "dead letters were replayed by an operator",
            who=who,
            letters=len(places),
            positions=tuple(f"{each.partition}:{each.offset}" for each in places),
        )
        heading = f"{_counted(places, 'dead letter')} replayed"
        raise self._see(Done(heading, "Replay", who, letters=places))

    def _ask_once(self) -> str:
        """Return a word that lets one confirmation through, not the same one twice."""
        word = secrets.token_urlsafe(12)
        self._asked[word] = None
        if len(self._asked) > _MOST_ASKED:
            self._asked.popitem(last=False)
        return word

    def _answer_once(self, word: str) -> None:
        if word not in self._asked:
            raise web.HTTPConflict(
                text="This was confirmed already, or asked too long ago: look at what"
                " became of it, and ask again."
            )
        del self._asked[word]

    def _see(self, done: Done) -> web.HTTPSeeOther:
        """Return the way to the page that says what was done."""
        name = secrets.token_urlsafe(12)
        self._done[name] = done
        if len(self._done) > _MOST_DONE:
            self._done.popitem(last=False)
        address = f"/actions/{name}"
        return web.HTTPSeeOther(address)

    async def _acted(self, request: web.Request) -> web.Response:
        done = self._done.get(request.match_info["name"])
        if done is None:
            raise web.HTTPNotFound(text="This page does not know that order any more.")
        find = self._seen.installation.row
        return self._drawing.page(
            request,
            "done.html",
            done=done,
            rows=[(each, find(each)) for each in done.command_ids],
        )

    def _chosen(self, form: Mapping[str, Any], action: Action) -> tuple[list[Row], int]:
        """Return the commands that were chosen and fit, and how many were left out."""
        installation, group = self._seen.installation, MEANINGS[action].group
        if form.get("all"):
            query = Query(
                group,
                str(form.get("route", "")),
                str(form.get("reason", "")),
                str(form.get("text", "")),
            )
            found = installation.page(query, 0, _MOST_AT_ONCE)
            return list(found.items), found.total - len(found.items)
        ids = form.getall("id", []) if hasattr(form, "getall") else []
        rows_found = [installation.row(str(each)) for each in ids[:_MOST_AT_ONCE]]
        fit = [row for row in rows_found if row and row.state in STATES[group]]
        return fit, len(ids) - len(fit)

    def _chosen_letters(self, form: Mapping[str, Any]) -> tuple[list[Letter], int]:
        """
        Return the dead letters that were chosen and fit, and how many were left out.

        One that came from a replay only where it was chosen by itself.
        """
        installation = self._seen.installation
        if form.get("all"):
            found = installation.letters(
                str(form.get("reason", "")), str(form.get("text", "")), 0, _MOST_LETTERS
            ).items
            fit = [each for each in found if not each.is_replay]
        else:
            given = form.getall("at", []) if hasattr(form, "getall") else []
            found = tuple(each for at in given if (each := self._letter_at(str(at))))
            fit = list(found)
        fit = [each for each in fit if not installation.is_replayed(each.at)]
        return fit[:_MOST_AT_ONCE], len(found) - len(fit[:_MOST_AT_ONCE])

    def _letter_at(self, text: str) -> Letter | None:
        partition, _, offset = text.partition(":")
        if not all(each.isascii() and each.isdecimal() for each in (partition, offset)):
            return None
        return self._seen.installation.letter(Position(int(partition), int(offset)))


def _counted(things: Sequence[object], word: str) -> str:
    return f"{len(things)} {word}{'' if len(things) == 1 else 's'}"
