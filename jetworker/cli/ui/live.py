"""The stream that tells an open page that something has changed."""

import asyncio

from aiohttp import web

from jetworker.cli.ui.drawing import HEADERS
from jetworker.cli.ui.follow import Seen
from jetworker.runtime.clock import Clock

_TELL_EVERY = 1.0  # seconds
_QUIET = 15.0  # seconds
_MOST_LISTENERS = 200


class LiveStream:
    """Tells every page that is open, by server-sent events."""

    def __init__(self, seen: Seen, clock: Clock) -> None:
        self._seen = seen
        self._clock = clock
        self._listeners = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """
        Tell a page that something has changed, at most once a second.

        `since` is the version that the page shows: between its drawing and this stream
        something may have changed already.
        """
        if self._listeners >= _MOST_LISTENERS:
            raise web.HTTPServiceUnavailable(text="too many pages are open")
        stream = web.StreamResponse(
            headers=HEADERS | {"Content-Type": "text/event-stream"}
        )
        await stream.prepare(request)
        self._listeners += 1
        try:
            await self._tell(stream, request.query.get("since"))
        except ConnectionError:  # the page was closed
            pass
        finally:
            self._listeners -= 1
        return stream

    async def _tell(self, stream: web.StreamResponse, since: str | None) -> None:
        told = str(self._seen.version) if since is None else since
        quiet_since = self._clock.monotonic()
        await stream.write(b": hello\n\n")
        while True:
            now = self._clock.monotonic()
            if str(self._seen.version) != told:
                told = str(self._seen.version)
                await stream.write(f"data: {told}\n\n".encode())
                quiet_since = now
            elif now - quiet_since > _QUIET:  # so that proxies do not close it
                await stream.write(b": still here\n\n")
                quiet_since = now
            await asyncio.sleep(_TELL_EVERY)
