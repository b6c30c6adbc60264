"""Tokens: made for the right credentials, good until they expire."""

import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable

import orjson

from jetworker.sandbox.jet.refusal import Refused
from jetworker.sandbox.jet.settings import SandboxSettings


class Tokens:
    """The tokens that are out there."""

    def __init__(self, settings: SandboxSettings, now: Callable[[], float]) -> None:
        self._client = (settings.client_id, settings.client_secret)
        self._lifetime = settings.token_lifetime.total_seconds()
        self._now = now
        self._ends: dict[str, float] = {}

    def issue(self, client_id: str, client_secret: str) -> tuple[str, float]:
        """Return a new token and its lifetime in seconds; refuse other clients."""
        given = f"{client_id}\n{client_secret}".encode()
        if not secrets.compare_digest(given, "\n".join(self._client).encode()):
            raise Refused(
                401,
                "client_id or client_secret is wrong; they are the sandbox's settings",
            )
        self._forget_old()
        token = ".".join(
            map(_part, ({"alg": "HS256", "typ": "JWT"}, {"sub": client_id}))
        )
        token = f"{token}.{secrets.token_urlsafe(32)}"
        self._ends[token] = self._now() + self._lifetime
        life = self._lifetime  # Jet's is a whole number, and some clients insist
        return token, int(life) if life.is_integer() else life

    def is_valid(self, header: str | None) -> bool:
        """Whether an Authorization header carries a token that has not expired."""
        scheme, _, token = (header or "").partition(" ")
        return scheme.lower() == "bearer" and self._ends.get(token, 0) > self._now()

    def check(self, header: str | None) -> None:
        """Refuse a request whose header carries no good token."""
        if not self.is_valid(header):
            raise Refused(401, "the bearer token is missing, wrong or expired")

    def expire(self) -> None:
        """Expire every token at once."""
        self._ends.clear()

    def _forget_old(self) -> None:
        now = self._now()
        self._ends = {token: end for token, end in self._ends.items() if end > now}


def _part(value: dict[str, str]) -> str:
    return urlsafe_b64encode(orjson.dumps(value)).decode().rstrip("=")
