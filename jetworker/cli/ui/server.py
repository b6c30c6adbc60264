"""
The page's server: looks at what is known, and publishes orders where that is allowed.

Whoever reaches it sees everything, so it listens on this machine alone unless it is told
otherwise, answers only names that are its own (a foreign page cannot rebind a name to it),
lets nothing run that is not its own, and takes an order only with a token that it gave to
the same browser, and from its own pages.
"""

import asyncio
import hashlib
import hmac
import secrets
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from ipaddress import ip_address
from typing import Any, Protocol
from urllib.parse import urlsplit

import orjson
import structlog
from aiohttp import web

from jetworker.cli.explain import Next, facts, next_step
from jetworker.cli.ui import pages
from jetworker.cli.ui.follow import Seen
from jetworker.cli.ui.orders import MEANINGS, REPLAY, Action
from jetworker.config.model import Config
from jetworker.core.errors import JetworkerError, StoreError
from jetworker.core.installation import STATES, Group, Letter, Position, Query, Row
from jetworker.kafka.reader import Place
from jetworker.runtime.clock import Clock
from jetworker.wire import rows, snapshots

log = structlog.get_logger()

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self';"
        " connect-src 'self'; form-action 'self'; base-uri 'none';"
        " frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Server": "jetworker",
}
_STATIC = {
    "style.css": "text/css",
    "live.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
_OWN_NAMES = ("localhost", "127.0.0.1", "[::1]", "::1")
_COOKIE = "jetworker-ui"
_TELL_EVERY = 1.0
_QUIET = 15.0
_MOST_LISTENERS = 200
_MOST_AT_ONCE = 1000
_MOST_DONE = 100
_MOST_ASKED = 1000
_MOST_LETTERS = 20_000
_SHOWN_BYTES = 16_384
_FEW = 5

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Options:
    """
    How it is reached and what it may do.

    *names* are further names that a `Host` header may have. *user_header* is the header
    in which an authenticating proxy says who asks: then an order without it is refused.
    """

    host: str = "127.0.0.1"
    port: int = 8090
    names: tuple[str, ...] = ()
    user_header: str = ""
    allows_actions: bool = False


class Records(Protocol):
    """Reads single records of a topic."""

    async def __call__(self, topic: str, places: Sequence[Position]) -> list[Any]:
        """Return the records at these places of one partition; raises StoreError."""


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


class UiServer:
    """Serves the pages."""

    def __init__(
        self,
        config: Config,
        seen: Seen,
        records: Records,
        publisher: Publishes,
        options: Options,
        clock: Clock,
    ) -> None:
        self._config = config
        self._seen = seen
        self._records = records
        self._publisher = publisher
        self._options = options
        self._clock = clock
        self._templates = pages.environment()
        self._secret = secrets.token_bytes(32)
        self._done: OrderedDict[str, Done] = OrderedDict()
        self._asked: OrderedDict[str, None] = OrderedDict()
        self._listeners = 0
        self._runner: web.AppRunner | None = None

    async def start(self) -> int:
        """Listen; returns the port. Raises OSError."""
        app = web.Application(middlewares=[self._guard], client_max_size=1 << 20)
        router = app.router
        router.add_get("/", self._overview)
        router.add_get("/deliveries", self._deliveries)
        router.add_get("/deliveries/{command_id}", self._delivery)
        router.add_get("/dead-letters", self._letters)
        router.add_get(r"/dead-letters/{partition:\d+}/{offset:\d+}", self._letter)
        router.add_get("/live", self._live)
        router.add_get("/static/{name}", self._static)
        router.add_get("/livez", self._livez)
        router.add_get("/readyz", self._readyz)
        if self._options.allows_actions:
            router.add_post("/actions", self._act)
            router.add_post("/dead-letters/replay", self._replay)
            router.add_get("/actions/{name}", self._acted)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._options.host, self._options.port).start()
        port: int = self._runner.addresses[0][1]
        return port

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        """Answer only to our own names, and every error as a page of ours."""
        if not self._is_for_us(request):
            text = f"not a name of this page: {request.host!r}; see --allow-host\n"
            return web.Response(text=text, status=421, headers=_HEADERS)
        try:
            return await handler(request)
        except web.HTTPRedirection as exc:
            exc.headers.update(_HEADERS)
            raise
        except web.HTTPException as exc:
            return self._page(
                request, "error.html", exc.status, title=exc.reason, why=exc.text
            )
        except StoreError as exc:
            return self._page(
                request,
                "error.html",
                503,
                title="Kafka did not answer",
                why=f"{exc}. Try again.",
            )

    def _is_for_us(self, request: web.Request) -> bool:
        if request.path in {"/livez", "/readyz"}:  # asked by address
            return True
        name = _name_of(request.host)
        return name in _OWN_NAMES or name in self._options.names

    async def _livez(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n", headers=_HEADERS)

    async def _readyz(self, _request: web.Request) -> web.Response:
        if self._seen.loading:
            text = f"still reading: {', '.join(sorted(self._seen.loading))}\n"
            return web.Response(text=text, status=503, headers=_HEADERS)
        return web.Response(text="ok\n", headers=_HEADERS)

    async def _static(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in _STATIC:
            raise web.HTTPNotFound
        body = files("jetworker.cli.ui").joinpath("static", name).read_bytes()
        return web.Response(body=body, content_type=_STATIC[name], headers=_HEADERS)

    async def _live(self, request: web.Request) -> web.StreamResponse:
        """Tell a page that something has changed, at most once a second."""
        if self._listeners >= _MOST_LISTENERS:
            raise web.HTTPServiceUnavailable(text="too many pages are open")
        stream = web.StreamResponse(
            headers=_HEADERS | {"Content-Type": "text/event-stream"}
        )
        await stream.prepare(request)
        self._listeners += 1
        try:
            await self._tell(stream)
        except ConnectionError:  # the page was closed
            pass
        finally:
            self._listeners -= 1
        return stream

    async def _tell(self, stream: web.StreamResponse) -> None:
        told, quiet_since = self._seen.version, self._clock.monotonic()
        await stream.write(b": hello\n\n")
        while True:
            await asyncio.sleep(_TELL_EVERY)
            now = self._clock.monotonic()
            if self._seen.version != told:
                told = self._seen.version
                await stream.write(f"data: {told}\n\n".encode())
                quiet_since = now
            elif now - quiet_since > _QUIET:  # so that proxies do not close it
                await stream.write(b": still here\n\n")
                quiet_since = now

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
        return self._page(
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
        return self._page(
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
            told, following = (
                facts(command_id, place),
                next_step(snapshot, self._config),
            )
        events = await self._records(
            topics.events, self._seen.installation.events(command_id)
        )
        return self._page(
            request,
            "delivery.html",
            row=row,
            facts=told,
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
        return self._page(
            request,
            "dead_letters.html",
            asked=asked,
            letters=found.items,
            is_replayed=installation.is_replayed,
            reasons=sorted(installation.letter_reasons().items()),
            allows_actions=self._options.allows_actions,
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
        return self._page(
            request,
            "dead_letter.html",
            letter=letter,
            is_replayed=self._seen.installation.is_replayed(place),
            allows_actions=self._options.allows_actions,
            text=rows.text(value[:_SHOWN_BYTES]),
            size=len(value),
            is_cut=len(value) > _SHOWN_BYTES,
        )

    async def _act(self, request: web.Request) -> web.Response:
        """Show what an order means; once that is confirmed, publish it."""
        form = await request.post()
        who = self._checked(request, str(form.get("token", "")))
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
            return self._page(
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
        who = self._checked(request, str(form.get("token", "")))
        chosen, left_out = self._chosen_letters(form)
        if not chosen:
            raise web.HTTPConflict(
                text="Nothing to do: no dead letter that was chosen can be replayed."
            )
        if not form.get("confirmed"):
            return self._page(
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
        return self._page(
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

    def _checked(self, request: web.Request, token: str) -> str:
        """Return who asks; raises HTTPForbidden unless it comes from our own page."""
        origin = request.headers.get("Origin", "")
        site = request.headers.get("Sec-Fetch-Site", "same-origin")
        is_foreign = origin and not self._is_own(origin)
        expected = self._token(request, request.cookies.get(_COOKIE, ""))
        if is_foreign or site not in {"same-origin", "none"}:
            raise web.HTTPForbidden(text="The form is not of this page.")
        if not hmac.compare_digest(token.encode(), expected.encode()):
            raise web.HTTPForbidden(
                text="The form is too old or of another browser: go back, load the page"
                " anew, and try again."
            )
        who = self._who(request)
        if self._options.user_header and not who:
            raise web.HTTPForbidden(
                text=f"The proxy does not say who asks: {self._options.user_header}."
            )
        return who or "unknown"

    def _is_own(self, origin: str) -> bool:
        name = _name_of(urlsplit(origin).netloc)
        return name in _OWN_NAMES or name in self._options.names

    def _who(self, request: web.Request) -> str:
        header = self._options.user_header
        return request.headers.get(header, "")[:200] if header else ""

    def _token(self, request: web.Request, cookie: str) -> str:
        message = f"{cookie}\n{self._who(request)}".encode()
        return hmac.new(self._secret, message, hashlib.sha256).hexdigest()

    def _actions(self) -> tuple[Action, ...]:
        return tuple(Action) if self._options.allows_actions else ()

    def _page(
        self, request: web.Request, template: str, status: int = 200, **what: Any
    ) -> web.Response:
        cookie = request.cookies.get(_COOKIE) or secrets.token_urlsafe(24)
        token = ""
        if self._options.allows_actions:
            token = self._token(request, cookie)
        text = self._templates.get_template(template).render(
            here=request.path,
            group_id=self._config.kafka.group_id,
            seen=self._seen,
            now=self._clock.now(),
            token=token,
            who=self._who(request),
            **what,
        )
        answer = web.Response(
            text=text, status=status, content_type="text/html", headers=_HEADERS
        )
        if self._options.allows_actions:
            answer.set_cookie(
                _COOKIE, cookie, httponly=True, samesite="Strict", secure=request.secure
            )
        return answer


def _counted(things: Sequence[object], word: str) -> str:
    return f"{len(things)} {word}{'' if len(things) == 1 else 's'}"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there."""
    try:
        return host == "localhost" or ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _name_of(host: str) -> str:
    """Return the name of a Host header, without the port."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdecimal() else host).lower()


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


def _offset(request: web.Request) -> int:
    given = request.query.get("offset", "")
    return int(given) if given.isdecimal() and given.isascii() else 0


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
