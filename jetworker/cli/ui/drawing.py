"""Pages drawn from templates, in answers that let nothing run that is not our own."""

from typing import Any

from aiohttp import web

from jetworker.cli.ui import pages
from jetworker.cli.ui.door import Door
from jetworker.cli.ui.follow import Seen
from jetworker.runtime.clock import Clock

HEADERS = {
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


class Drawing:
    """Draws a page with what every page shows."""

    def __init__(self, group_id: str, seen: Seen, door: Door, clock: Clock) -> None:
        self._group_id = group_id
        self._seen = seen
        self._door = door
        self._clock = clock
        self._templates = pages.environment()

    def page(
        self,
        request: web.Request,
        template: str,
        status: int = 200,
        version: int | None = None,
        **what: Any,
    ) -> web.Response:
        """
        Return a page; its forms have the token of the browser that asked.

        *version* is that of what it shows, if it took a while to put together: the page
        is told what has changed since.
        """
        acts = self._door.options.allows_actions
        token, cookie = self._door.give(request) if acts else ("", "")
        text = self._templates.get_template(template).render(
            here=request.path,
            group_id=self._group_id,
            seen=self._seen,
            version=self._seen.version if version is None else version,
            now=self._clock.now(),
            token=token,
            who=self._door.who(request),
            **what,
        )
        answer = web.Response(
            text=text, status=status, content_type="text/html", headers=HEADERS
        )
        if acts:
            self._door.mark(answer, cookie, is_secure=request.secure)
        return answer
