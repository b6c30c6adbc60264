"""
The token: client credentials, renewed ahead, by one caller at a time.

A thousand calls that meet a 401 at once renew it once: a token that was fetched after
a call began is used without asking again. A refused renewal is not repeated in a hurry.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import orjson

from jetworker.core.errors import JetError, JetRejected, JetUnauthorized, JetUnavailable
from jetworker.core.rate import Backoff
from jetworker.runtime.clock import Clock
from jetworker.runtime.metrics import Metrics

_TOKEN = re.compile("[!-~]+")  # what a header can carry
_SHORTEST = 1.0
_LONGEST = 30 * 86400.0
_DEFAULT = 3600.0
_BACKOFF = Backoff(timedelta(seconds=0.5), timedelta(seconds=30))


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token; renewed from *renew_at* on (monotonic seconds)."""

    value: str
    renew_at: float
    ends_at: float


class TokenSource:
    """
    Gives the current token.

    *fetch* posts a body to the token endpoint and returns the parsed answer; it
    raises JetError. *credentials* is asked anew each time, so that a secret rotated
    on disk is picked up.
    """

    def __init__(
        self,
        fetch: Callable[[bytes], Awaitable[Any]],
        credentials: Callable[[], tuple[str, str]],
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._fetch = fetch
        self._credentials = credentials
        self._clock = clock
        self._metrics = metrics
        self._token: Token | None = None
        self._lock = asyncio.Lock()
        self._failures = 0
        self._not_before = 0.0
        self._last_error: JetError | None = None

    @property
    def has_token(self) -> bool:
        """Whether a token was obtained since the start."""
        return self._token is not None

    async def get(self) -> str:
        """Return a token that is good for now; raises JetError."""
        token = self._token
        if token is not None and self._clock.monotonic() < token.renew_at:
            return token.value
        async with self._lock:
            token = self._token
            if token is None or self._clock.monotonic() >= token.renew_at:
                token = await self._renew(token)
        return token.value

    def invalidate(self, value: str) -> None:
        """Renew before the next call, unless somebody already has."""
        token = self._token
        if token is not None and token.value == value:
            self._token = Token(value, 0.0, 0.0)

    async def _renew(self, old: Token | None) -> Token:
        """Fetch a token; one that still holds is used on if Jet does not answer."""
        now = self._clock.monotonic()
        if now < self._not_before and self._last_error is not None:
            return self._fall_back(old, self._last_error)
        try:
            token = await self._request()
        except JetError as exc:
            self._failures += 1
            delay = _BACKOFF.delay(self._failures, self._clock.jitter())
            self._not_before = self._clock.monotonic() + delay.total_seconds()
            self._last_error = exc
            return self._fall_back(old, exc)
        self._failures, self._last_error, self._token = 0, None, token
        return token

    def _fall_back(self, old: Token | None, error: JetError) -> Token:
        if old is not None and self._clock.monotonic() < old.ends_at:
            return old
        raise error

    async def _request(self) -> Token:
        client_id, client_secret = self._credentials()
        body = orjson.dumps(
            {
                "client_id": client_id,
                "client_secret": client_secret,
                "grant_type": "client_credentials",
            }
        )
        try:
            answer = await self._fetch(body)
        except JetRejected as exc:
            msg = f"Jet refuses the credentials ({exc.status}): check client id, secret"
            raise JetUnauthorized(msg) from exc
        return self._read(answer)

    def _read(self, answer: Any) -> Token:
        value = answer.get("access_token") if isinstance(answer, dict) else None
        if not isinstance(value, str) or not _TOKEN.fullmatch(value):
            msg = "Jet's answer has no access_token"
            raise JetUnavailable(msg)
        life = _life(answer.get("expires_in"))
        now = self._clock.monotonic()
        ends = self._clock.now().timestamp() + life
        self._metrics.token_expiry_timestamp_seconds.set(ends)
        # Renewed a minute ahead, or after 4/5 of a short life.
        ahead = min(60.0, life / 5)
        return Token(value, now + life - ahead, now + life)


def _life(value: object) -> float:
    if isinstance(value, str) and value.isascii() and value.strip().isdigit():
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _DEFAULT
    return min(max(float(value), _SHORTEST), _LONGEST)
