"""
Where Jet's notifications arrive: a port of its own, and one path that is a secret.

They carry no signature, and the port is open to the world. So nothing but two names is
read of them (`wire.notifications`), and what does not know the secret, is too long or
comes too fast is refused before a byte of its body is read.
"""

import asyncio
import hmac
import logging
from collections.abc import Callable

import structlog
from aiohttp import web
from aiohttp.http import HttpProcessingError

from jetworker.core.observation import Hint
from jetworker.core.rate import Bucket
from jetworker.runtime.clock import Clock
from jetworker.runtime.metrics import Metrics
from jetworker.wire import notifications as wire

log = structlog.get_logger()

_A_SECOND = 100.0  # a worker's deliveries change less often than this
_SLOWEST = 5.0  # seconds for a body


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether an error is not of what somebody sent, which it would quote."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError)


_library_log = logging.getLogger("aiohttp.notifications")
_library_log.addFilter(_is_ours)


class NotificationServer:
    """
    Listens for notifications; *take* is told of each delivery that one names.

    *miss* is told of one that had the secret and was not read.
    """

    def __init__(
        self,
        take: Callable[[Hint], bool],
        miss: Callable[[], None],
        secret: str,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._take = take
        self._miss = miss
        self._secret = secret.encode()
        self._clock = clock
        self._metrics = metrics
        self._bucket = Bucket.full(_A_SECOND, clock.monotonic())
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port, for 0 the one that was free. Raises OSError."""
        app = web.Application()
        app.on_response_prepare.append(_nameless)
        app.router.add_route("*", "/{path:.*}", self._receive, expect_handler=_no_word)
        # What is refused is not read to its end either.
        self._runner = web.AppRunner(
            app,
            access_log=None,
            shutdown_timeout=1,
            lingering_time=0,
            logger=_library_log,
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        bound: int = self._runner.addresses[0][1]
        return bound

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _receive(self, request: web.Request) -> web.Response:
        given = request.match_info["path"].rpartition("/")[2].encode()
        if not hmac.compare_digest(given, self._secret):
            return self._refuse(404)
        if request.method != "POST":
            return self._refuse(405)
        if (request.content_length or 0) > wire.LONGEST:
            return self._refuse(413)
        if not self._has_turn():
            self._miss()
            return self._refuse(429)
        try:
            async with asyncio.timeout(_SLOWEST):
                body = await request.content.readexactly(wire.LONGEST + 1)
        except asyncio.IncompleteReadError as exc:
            body = exc.partial
        except TimeoutError:
            self._miss()
            return self._refuse(408)
        except (web.RequestPayloadError, HttpProcessingError, OSError):
            self._miss()  # it broke off, or is not coded as it says
            return self._refuse(400)
        if len(body) > wire.LONGEST:
            return self._refuse(413)
        for hint in wire.decode(body):
            is_followed = self._take(hint)
            outcome = "followed" if is_followed else "unfollowed"
            self._metrics.notifications_total.labels(outcome).inc()
        return web.Response(status=204)

    def _has_turn(self) -> bool:
        bucket = self._bucket.refilled(self._clock.monotonic())
        has_turn = bucket.tokens >= 1
        self._bucket = bucket.taken() if has_turn else bucket
        return has_turn

    def _refuse(self, status: int) -> web.Response:
        """Answer without a word, and hang up: the rest of the request is not wanted."""
        self._metrics.notifications_total.labels("refused").inc()
        log.debug("a notification was refused", status=status)
        answer = web.Response(status=status)
        answer.force_close()
        return answer


async def _no_word(_request: web.Request) -> None:
    """Ask nobody to go on sending before it is known whether that is wanted."""


async def _nameless(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "jetworker"
