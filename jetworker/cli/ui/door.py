"""
Who is let in: by what names the page is reached, and whose orders are taken.

Whoever reaches it sees everything, so it listens on this machine alone unless it is told
otherwise, answers only names that are its own (a foreign page cannot rebind a name to it),
and takes an order only with a token that it gave to the same browser, and from its own
pages.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from aiohttp import web

_OWN_NAMES = ("localhost", "127.0.0.1", "[::1]", "::1")
_COOKIE = "jetworker-ui"


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


class Door:
    """Knows our own names, our own pages, and who asks."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._secret = secrets.token_bytes(32)

    def is_for_us(self, request: web.Request) -> bool:
        """Whether a request names us; probes are asked by address."""
        if request.path in {"/livez", "/readyz"}:
            return True
        name = _name_of(request.host)
        return name in _OWN_NAMES or name in self.options.names

    def checked(self, request: web.Request, token: str) -> str:
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
        who = self.who(request)
        if self.options.user_header and not who:
            raise web.HTTPForbidden(
                text=f"The proxy does not say who asks: {self.options.user_header}."
            )
        return who or "unknown"

    def give(self, request: web.Request) -> tuple[str, str]:
        """Return the token for the forms of an answer, and the cookie that it goes with."""
        cookie = request.cookies.get(_COOKIE) or secrets.token_urlsafe(24)
        return self._token(request, cookie), cookie

    def mark(self, answer: web.Response, cookie: str, *, is_secure: bool) -> None:
        """Give the browser its cookie."""
        answer.set_cookie(
            _COOKIE, cookie, httponly=True, samesite="Strict", secure=is_secure
        )

    def who(self, request: web.Request) -> str:
        """Return who asks, as the proxy says; empty where none is asked to."""
        header = self.options.user_header
        return request.headers.get(header, "")[:200] if header else ""

    def _is_own(self, origin: str) -> bool:
        name = _name_of(urlsplit(origin).netloc)
        return name in _OWN_NAMES or name in self.options.names

    def _token(self, request: web.Request, cookie: str) -> str:
        message = f"{cookie}\n{self.who(request)}".encode()
        return hmac.new(self._secret, message, hashlib.sha256).hexdigest()


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
