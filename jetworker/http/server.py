"""One port for probes, metrics and status; read-only."""

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import orjson
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from jetworker.http.page import PAGE, STYLE, View, render

# The page has one style, known by its hash, and nothing else may run or be fetched.
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
_HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none';"
        " form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
}
_SHOWN = 200  # deliveries, where nothing else is asked for
_MOST = 1000  # deliveries in an answer
_NUMBER = re.compile("[0-9]{1,18}")  # Python reads no number of 5,000 digits
_FILTERS = ("route", "state", "text")


class Telling(Protocol):
    """What the worker tells of itself."""

    def live(self) -> Mapping[str, str | None]:
        """Return what stands in the way of progress, by loop; None: nothing."""

    def ready(self) -> Mapping[str, str | None]:
        """Return why no work can be done, by part; None: it can."""

    def refresh(self) -> None:
        """Set the metrics that are only known when somebody looks."""

    def status(self) -> dict[str, Any]:
        """Return what the worker as a whole is doing."""

    def deliveries(
        self, filters: Mapping[str, str], offset: int, limit: int
    ) -> tuple[int, list[dict[str, Any]]]:
        """Return how many open deliveries fit, and some of them, oldest first."""

    def delivery(self, command_id: str) -> dict[str, Any] | None:
        """Return what is known of one command."""


class HttpServer:
    """The HTTP server of a worker."""

    def __init__(self, report: Telling, registry: CollectorRegistry) -> None:
        self._report = report
        self._registry = registry
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port, for 0 the one that was free. Raises OSError."""
        app = web.Application()
        app.on_response_prepare.append(_guard)
        app.router.add_get("/livez", self._checks(self._report.live))
        app.router.add_get("/readyz", self._checks(self._report.ready))
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/api/status", self._status)
        app.router.add_get("/api/deliveries", self._deliveries)
        app.router.add_get("/api/deliveries/{command_id}", self._delivery)
        app.router.add_get("/", self._page)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        bound: int = self._runner.addresses[0][1]
        return bound

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    def _checks(self, ask: Callable[[], Mapping[str, str | None]]) -> Any:
        async def answer(request: web.Request) -> web.Response:
            checks = ask()
            status = 503 if any(checks.values()) else 200
            if "verbose" in request.query:
                lines = [
                    f"[-]{name}: {wrong}" if wrong else f"[+]{name} ok"
                    for name, wrong in checks.items()
                ]
                return web.Response(text="\n".join([*lines, ""]), status=status)
            failed = [name for name, wrong in checks.items() if wrong]
            text = f"not ok: {', '.join(failed)}\n" if failed else "ok\n"
            return web.Response(text=text, status=status)

        return answer

    async def _metrics(self, request: web.Request) -> web.Response:
        self._report.refresh()
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(
            body=encode(self._registry), headers={"Content-Type": content_type}
        )

    async def _status(self, _request: web.Request) -> web.Response:
        return _json(self._report.status())

    async def _deliveries(self, request: web.Request) -> web.Response:
        offset, limit = _offset(request), _limit(request)
        total, found = self._report.deliveries(_filters(request), offset, limit)
        told = {"total": total, "offset": offset, "limit": limit, "deliveries": found}
        return _json(told)

    async def _delivery(self, request: web.Request) -> web.Response:
        found = self._report.delivery(request.match_info["command_id"])
        if found is None:
            message = "this worker does not know the command; another one may"
            return _json({"error": message}, 404)
        return _json(found)

    async def _page(self, request: web.Request) -> web.Response:
        filters, offset = _filters(request), _offset(request)
        total, found = self._report.deliveries(filters, offset, PAGE)
        is_still = request.query.get("refresh") == "off"
        view = View(filters, offset, total, is_still=is_still)
        # No script: the browser asks again by itself.
        headers = {} if is_still else {"Refresh": "5"}
        page = render(self._report.status(), found, view)
        return web.Response(text=page, content_type="text/html", headers=headers)


async def _guard(_request: web.Request, response: web.StreamResponse) -> None:
    """Send the headers with every answer, and none that tells versions."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = "jetworker"


def _filters(request: web.Request) -> dict[str, str]:
    query = request.query
    return {name: query[name] for name in _FILTERS if query.get(name)}


def _offset(request: web.Request) -> int:
    return _number(request, "offset", 0)


def _limit(request: web.Request) -> int:
    return min(_MOST, _number(request, "limit", _SHOWN))


def _number(request: web.Request, name: str, default: int) -> int:
    given = request.query.get(name, "")
    return int(given) if _NUMBER.fullmatch(given) else default


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(
        body=orjson.dumps(value, default=str, option=orjson.OPT_INDENT_2),
        status=status,
        content_type="application/json",
    )
