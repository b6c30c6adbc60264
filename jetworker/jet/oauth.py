"""
The token: client credentials, renewed ahead, by one caller at a time.

A thousand calls that meet a 401 at once renew it once: a token that was fetched after
a call began is used without asking again, and the old one serves everybody else until
the new one is there. A refused renewal is not repeated in a hurry.

A 401 may be one job's and not the token's (`is_worth_renewing`). It is the token's
where the same call was allowed with it before, or nothing was yet. One place that
refuses a new token too does not get another for half a minute, and none while the
token is younger than a minute; nor does any place while others are allowed with it.
"""

import asyncio
import re
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson

from jetworker.core.errors import JetError, JetRejected, JetUnauthorized, JetUnavailable
from jetworker.core.rate import Backoff
from jetworker.runtime.clock import Clock
from jetworker.runtime.metrics import Metrics

_TOKEN = re.compile("[!-~]+")  # what a header can carry
_SHORTEST = 1.0  # seconds of a token's life
_LONGEST = 30 * 86400.0  # the same
_DEFAULT = 3600.0  # the same, where Jet does not say
_YOUNG, _PATIENCE = 60.0, 30.0
_RENEWALS = 10  # for refusals, within _PATIENCE: whoever refuses, and however often
_BACKOFF = Backoff(timedelta(seconds=0.5), timedelta(seconds=30))


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token; renewed from *renew_at* on (monotonic seconds)."""

    value: str
    obtained_at: float
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
        self.ends_at: datetime | None = None
        self._lock = asyncio.Lock()
        self._failures = 0
        self._not_before = 0.0
        self._last_error: JetError | None = None
        self._accepts: set[str] = set()  # where the current token was accepted
        self._accepted_at = -1e9
        self._renewed_for: dict[str, float] = {}
        self._renewals: deque[float] = deque(maxlen=_RENEWALS)
        self._in_vain_until = -1e9
        self._replaced: str | None = None  # the refused one that is being replaced

    @property
    def has_token(self) -> bool:
        """Whether a token was obtained since the start."""
        return self._token is not None

    async def get(self, *, instead_of: str | None = None) -> str:
        """
        Return a token that is good for now; raises JetError.

        Another than *instead_of*, which was refused.
        """
        token = self._token
        if token is not None and token.value != instead_of:
            now = self._clock.monotonic()
            is_being_renewed = self._lock.locked() and now < token.ends_at
            if now < token.renew_at or is_being_renewed:
                return token.value
        async with self._lock:
            found, token = token, self._token
            if token is not None and token is found and token.value == instead_of:
                token = await self._renew(None)
            elif token is None or self._clock.monotonic() >= token.renew_at:
                token = await self._renew(token)
        return token.value

    def accept(self, value: str, where: str) -> None:
        """Take note that a call was allowed with a token; *where* says which."""
        if self._token is not None and self._token.value == value:
            self._accepted_at = self._clock.monotonic()
            self._accepts.add(where)
            self._renewed_for.pop(where, None)

    def is_worth_renewing(self, value: str, where: str, asked_at: float) -> bool:
        """
        Whether a call that was refused is worth another with a newer token.

        *asked_at* is when it was made (monotonic). A renewal that this allows counts
        as made.
        """
        token = self._token
        if token is None or token.value != value or value == self._replaced:
            return True
        now = self._clock.monotonic()
        if not self._is_refused_token(token, where, asked_at, now):
            return False
        if len(self._renewals) == _RENEWALS and now - self._renewals[0] < _PATIENCE:
            return False
        self._renewals.append(now)
        self._renewed_for[where] = now
        self._replaced = value
        return True

    def _is_refused_token(
        self, token: Token, where: str, asked_at: float, now: float
    ) -> bool:
        """Whether a refusal may be the token's, and not of one place alone."""
        is_good = self._accepted_at > asked_at
        if where in self._accepts and not is_good:
            return True
        before = self._renewed_for.get(where)
        if before is not None:
            self._in_vain_until = now + _PATIENCE
        elif not is_good and now >= self._in_vain_until:
            return True
        latest = self._renewals[-1] if self._renewals else -1e9
        is_young = now - token.obtained_at < _YOUNG
        return not is_young and now - latest >= _PATIENCE

    async def _renew(self, old: Token | None) -> Token:
        """Fetch a token; an *old* one that still holds is used on if Jet gives none."""
        now = self._clock.monotonic()
        if now < self._not_before and self._last_error is not None:
            self._replaced = None
            return self._fall_back(old, self._last_error)
        try:
            token = await self._request()
        except JetError as exc:
            self._replaced = None
            self._failures += 1
            delay = _BACKOFF.delay(self._failures, self._clock.jitter())
            self._not_before = self._clock.monotonic() + delay.total_seconds()
            self._last_error = exc
            return self._fall_back(old, exc)
        # Jet may give the same once more: what was replaced is not refused for ever.
        self._failures, self._last_error, self._replaced = 0, None, None
        self._token = token
        self._accepts.clear()
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
        self.ends_at = self._clock.now() + timedelta(seconds=life)
        self._metrics.token_expiry_timestamp_seconds.set(self.ends_at.timestamp())
        # Renewed a minute ahead, or after 4/5 of a short life.
        ahead = min(60.0, life / 5)
        return Token(value, now, now + life - ahead, now + life)


def _life(value: object) -> float:
    if isinstance(value, str) and value.isascii() and value.strip().isdigit():
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _DEFAULT
    return min(max(float(value), _SHORTEST), _LONGEST)
