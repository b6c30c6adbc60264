"""The pages to look at: what is known, what needs somebody, and every single one."""

import re
from collections.abc import Sequence
from typing import Any, Protocol

import orjson
from aiohttp import web

from jetworker.cli.explain import Next, facts, next_step
from jetworker.cli.ui import pages
from jetworker.cli.ui.drawing import Drawing
from jetworker.cli.ui.follow import Seen
from jetworker.cli.ui.orders import MEANINGS, Action
from jetworker.config.model import Config
from jetworker.core.installation import STATES, Group, Position, Query
from jetworker.kafka.reader import Place
from jetworker.wire import rows, snapshots

_SHOWN_BYTES = 16_384
_FEW = 5  # rows on the first page
_NUMBER = re.compile("[0-9]{1,18}")  # Python reads no number of 5,000 digits


class Records(Protocol):
    """Reads single records of a topic."""

    async def __call__(self, topic: str, places: Sequence[Position]) -> list[Any]:
        """Return the records at these places of one partition; raises StoreError."""


class LookingPages:
    """Shows what is known; changes nothing."""

    def __init__(
        self,
        config: Config,
        seen: Seen,
        records: Records,
        drawing: Drawing,
        *,
        allows_actions: bool,
    ) -> None:
        self._config = config
        self._seen = seen
        self._records = records
        self._drawing = drawing
        self._allows_actions = allows_actions

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Serve the pages."""
        router.add_get("/", self._overview)
        router.add_get("/deliveries", self._deliveries)
        router.add_get("/deliveries/{command_id}", self._delivery)
        router.add_get("/dead-letters", self._letters)
        place = "{partition:[0-9]{1,18}}/{offset:[0-9]{1,18}}"
        router.add_get(f"/dead-letters/{place}", self._letter)

    async def _overview(self, request: web.Request) -> web.Response:
        installation = self._seen.installation
        names = sorted({*map(str, self._seen.routes), *installation.routes()})
        routes = [
            {
                "name": name,
                "is_known": name in self._seen.routes,
                "counts": {
                    group: installation.total(Query(group, name)) for group in Group
                },
                "obstacles": installation.obstacles(name),
            }
            for name in names
        ]
        return self._drawing.page(
            request,
            "overview.html",
            totals={group: installation.total(Query(group)) for group in Group},
            letters=installation.parked,
            held=installation.page(Query(Group.HELD), 0, _FEW),
            uncertain=installation.page(Query(Group.UNCERTAIN), 0, _FEW),
            failed=installation.page(Query(Group.FAILED), 0, _FEW),
            routes=routes,
            group=self._seen.group,
            failed_objects=installation.failed_objects,
        )

    async def _deliveries(self, request: web.Request) -> web.Response:
        asked, query = _asked(request), _query(request)
        offset = _offset(request)
        found = self._seen.installation.page(query, offset, pages.PAGE)
        return self._drawing.page(
            request,
            "deliveries.html",
            query=query,
            asked=asked,
            rows=found.items,
            paging=pages.paging(found, offset, "/deliveries", asked),
            routes=sorted(
                {*map(str, self._seen.routes), *self._seen.installation.routes()}
            ),
            actions=[
                action
                for action in self._actions()
                if query.group is MEANINGS[action].group and action is not Action.ADOPT
            ],
            meanings=MEANINGS,
            failed_objects=self._seen.installation.failed_objects,
        )

    async def _delivery(self, request: web.Request) -> web.Response:
        command_id = request.match_info["command_id"]
        version = self._seen.version
        row = self._seen.installation.row(command_id)
        if row is None and command_id in self._seen.unreadable:
            raise web.HTTPNotFound(
                text="The state of this command cannot be read by this version of"
                " jetworker: use the one that wrote it."
            )
        if row is None:
            raise web.HTTPNotFound(
                text="No command of this id is known: it was never accepted, or it ended"
                " longer ago than the dedupe window."
            )
        topics = self._config.topics
        found = await self._records(topics.state, [row.at])
        told: list[tuple[str, str]] = []
        following: Next | None = None
        if found and found[0].value is not None:
            snapshot = snapshots.decode(found[0].value)
            place = Place(row.at.partition, snapshot, row.changed_at)
            told = facts(command_id, place)
            following = next_step(snapshot, self._config)
        events = await self._records(
            topics.events, self._seen.installation.events(command_id)
        )
        return self._drawing.page(
            request,
            "delivery.html",
            version=version,
            row=row,
            facts=_gathered(told),
            following=following,
            events=[_event(each) for each in events if _is_about(each, command_id)],
            failed=self._seen.installation.failed_objects(command_id),
            actions=[
                action
                for action in self._actions()
                if row.state in STATES[MEANINGS[action].group]
            ],
            meanings=MEANINGS,
        )

    async def _letters(self, request: web.Request) -> web.Response:
        installation = self._seen.installation
        asked = {
            name: request.query.get(name, "").strip() for name in ("reason", "text")
        }
        offset = _offset(request)
        found = installation.letters(asked["reason"], asked["text"], offset, pages.PAGE)
        return self._drawing.page(
            request,
            "dead_letters.html",
            asked=asked,
            letters=found.items,
            is_replayed=installation.is_replayed,
            reasons=sorted(installation.letter_reasons().items()),
            allows_actions=self._allows_actions,
            parked=installation.parked,
            paging=pages.paging(found, offset, "/dead-letters", asked),
        )

    async def _letter(self, request: web.Request) -> web.Response:
        given = request.match_info
        place = Position(int(given["partition"]), int(given["offset"]))
        letter = self._seen.installation.letter(place)
        found = []
        if letter is not None:
            found = await self._records(self._config.topics.dead_letters, [place])
        if letter is None or not found:
            raise web.HTTPNotFound(text="There is no such dead letter any more.")
        value = found[0].value or b""
        return self._drawing.page(
            request,
            "dead_letter.html",
            letter=letter,
            is_replayed=self._seen.installation.is_replayed(place),
            allows_actions=self._allows_actions,
            text=rows.text(value[:_SHOWN_BYTES]),
            size=len(value),
            is_cut=len(value) > _SHOWN_BYTES,
        )

    def _actions(self) -> tuple[Action, ...]:
        return tuple(Action) if self._allows_actions else ()


def _asked(request: web.Request) -> dict[str, str]:
    query = request.query
    return {
        name: query.get(name, "").strip()
        for name in ("state", "route", "reason", "text")
    }


def _query(request: web.Request) -> Query:
    asked = _asked(request)
    known = asked["state"] in Group.__members__.values()
    group = Group(asked["state"]) if known else Group.ALL
    return Query(group, asked["route"], asked["reason"], asked["text"])


def _gathered(told: Sequence[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    """Put a line without a name to the one before, as it is read on a terminal."""
    found: list[tuple[str, list[str]]] = []
    for name, text in told:
        if name:
            found.append((name, [text]))
        else:
            found[-1][1].append(text)
    return found


def _offset(request: web.Request) -> int:
    given = request.query.get("offset", "")
    return int(given) if _NUMBER.fullmatch(given) else 0


def _is_about(record: Any, command_id: str) -> bool:
    """Whether a record is what was remembered: a topic made anew has others there."""
    headers = dict(record.headers)
    return bool(headers.get("ce_subject") == command_id.encode())


def _event(record: Any) -> dict[str, Any]:
    data = orjson.loads(record.value)
    return {
        "data": data,
        "kind": data.get("eventType", "").removeprefix("io.jetworker."),
        "raw": orjson.dumps(data, option=orjson.OPT_INDENT_2).decode(),
        "at": record.timestamp,
    }
