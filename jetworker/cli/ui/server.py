"""The page's server: one door, pages to look at, pages that act, and a live stream."""

from collections.abc import Awaitable, Callable
from importlib.resources import files

from aiohttp import web

from jetworker.cli.publish import MayBePublished
from jetworker.cli.ui.acting import ActingPages, Publishes
from jetworker.cli.ui.door import Door, Options
from jetworker.cli.ui.drawing import HEADERS, Drawing
from jetworker.cli.ui.follow import Seen
from jetworker.cli.ui.live import LiveStream
from jetworker.cli.ui.looking import LookingPages, Records
from jetworker.config.model import Config
from jetworker.core.errors import StoreError
from jetworker.runtime.clock import Clock

_STATIC = {
    "style.css": "text/css",
    "live.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


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
        self._seen = seen
        self._options = options
        self._door = Door(options)
        self._drawing = Drawing(config.kafka.group_id, seen, self._door, clock)
        self._live = LiveStream(seen, clock)
        acts = options.allows_actions
        self._looking = LookingPages(
            config, seen, records, self._drawing, allows_actions=acts
        )
        self._acting: ActingPages | None = None
        if acts:
            self._acting = ActingPages(seen, publisher, self._door, self._drawing)
        self._runner: web.AppRunner | None = None

    async def start(self) -> int:
        """Listen; returns the port. Raises OSError."""
        app = web.Application(middlewares=[self._guard], client_max_size=1 << 20)
        self._looking.add_to(app.router)
        app.router.add_get("/live", self._live.answer)
        app.router.add_get("/static/{name}", self._static)
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        if self._acting is not None:
            self._acting.add_to(app.router)
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
        if not self._door.is_for_us(request):
            text = f"not a name of this page: {request.host!r}; see --allow-host\n"
            return web.Response(text=text, status=421, headers=HEADERS)
        try:
            return await handler(request)
        except web.HTTPRedirection as exc:
            exc.headers.update(HEADERS)
            raise
        except web.HTTPException as exc:
            return self._drawing.page(
                request, "error.html", exc.status, title=exc.reason, why=exc.text
            )
        except StoreError as exc:
            return self._drawing.page(
                request,
                "error.html",
                503,
                title="Kafka did not answer",
                why=f"{exc}."
                if isinstance(exc, MayBePublished)
                else f"{exc}. Try again.",
            )

    async def _livez(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n", headers=HEADERS)

    async def _readyz(self, _request: web.Request) -> web.Response:
        if self._seen.loading:
            text = f"still reading: {', '.join(sorted(self._seen.loading))}\n"
            return web.Response(text=text, status=503, headers=HEADERS)
        return web.Response(text="ok\n", headers=HEADERS)

    async def _static(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in _STATIC:
            raise web.HTTPNotFound
        body = files("jetworker.cli.ui").joinpath("static", name).read_bytes()
        return web.Response(body=body, content_type=_STATIC[name], headers=HEADERS)
