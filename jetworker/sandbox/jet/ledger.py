"""The ledger: every request and every creation, in the order they came."""

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from jetworker.sandbox.jet.bodies import Json
from jetworker.wire import times


@dataclass(slots=True)
class Request:
    """One request; *status* is None until it is answered, for ever if it never is."""

    n: int
    time: str
    operation: str
    method: str
    path: str
    query: str
    job: str | None
    delivery: str | None
    connection: str
    body: str | None
    status: int | None = None
    fault: str | None = None


@dataclass(slots=True)
class Creation:
    """One delivery that was created; *request* is its request's number."""

    n: int
    time: str
    job: str
    deliveryId: str  # noqa: N815 -- Jet's spelling
    objects: list[str] = field(default_factory=list)
    request: int | None = None
    connection: str | None = None
    foreign: bool = False


Entries: TypeAlias = Sequence[Request] | Sequence[Creation]


class Ledger:
    """Append-only; one number runs through requests and creations."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.creations: list[Creation] = []
        self._last = 0

    def request(self, now: datetime, body: bytes, **facts: Any) -> Request:
        """Write a request down; its status is filled in later."""
        digest = hashlib.sha256(body).hexdigest() if body else None
        entry = Request(self._next(), times.encode(now), body=digest, **facts)
        self.requests.append(entry)
        return entry

    def creation(self, now: datetime, **facts: Any) -> Creation:
        """Write a creation down."""
        entry = Creation(self._next(), times.encode(now), **facts)
        self.creations.append(entry)
        return entry

    def since(self, n: int) -> Json:
        """Return what came after number *n*."""
        return {
            "requests": [asdict(e) for e in _after(self.requests, n)],
            "creations": [asdict(e) for e in _after(self.creations, n)],
            "last": self._last,
        }

    def _next(self) -> int:
        self._last += 1
        return self._last


def _after(entries: Entries, n: int) -> Entries:
    return entries[bisect_right(entries, n, key=lambda entry: entry.n) :]
