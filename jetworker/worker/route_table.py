"""The routes as the file has them now: read at the start, and again when it changes."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog

from jetworker.core.command import RouteName
from jetworker.core.errors import ConfigurationError
from jetworker.core.route import Route
from jetworker.runtime.metrics import Metrics
from jetworker.wire import routes as wire

log = structlog.get_logger()

_LOOK_EVERY = 2.0  # seconds


def read(path: Path) -> tuple[bytes, dict[RouteName, Route]]:
    """Return a routes file's bytes and routes; raises ConfigurationError."""
    try:
        text = path.read_bytes()
    except OSError as exc:
        msg = f"JETWORKER_ROUTES_FILE: {path} cannot be read: {exc.strerror}"
        raise ConfigurationError(msg) from exc
    return text, wire.decode(text, str(path))


class RouteTable:
    """
    Holds the routes and follows the file.

    The contents are compared, not the time: a mounted ConfigMap is a link that is
    swapped. An invalid file keeps the routes that are there.
    """

    def __init__(self, path: Path, metrics: Metrics) -> None:
        self._path = path
        self._metrics = metrics
        self._listeners: list[Callable[[], None]] = []
        self._text, self.routes = read(path)
        self._refused: bytes | None = None
        self.error: str | None = None
        metrics.declare_routes(self.routes)

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call *listener* whenever the routes have changed."""
        self._listeners.append(listener)

    def current(self) -> Mapping[RouteName, Route]:
        """Return the routes as they are now."""
        return self.routes

    async def run(self) -> None:
        """Look at the file every two seconds, for ever."""
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            self.look()

    def look(self) -> None:
        """Look at the file once."""
        try:
            text = self._path.read_bytes()
        except OSError as exc:
            self._refused = None
            self._reject(f"{self._path} cannot be read: {exc.strerror}")
            return
        if text == self._refused:
            return  # said already, and stays said until it is repaired
        if text == self._text:
            if self.error is not None:
                log.info("the routes file is as it was, and valid")
            self._accept(text)
            return
        before = self.routes
        try:
            self.routes = wire.decode(text, str(self._path))
        except ConfigurationError as exc:
            self._refused = text
            self._reject(str(exc))
            return
        self._accept(text)
        self._metrics.declare_routes(self.routes)
        self._metrics.routes_reloads_total.labels("applied").inc()
        log.info(
            "the routes file changed, new commands and those that wait follow it",
            routes=len(self.routes),
            added=sorted(self.routes.keys() - before.keys()),
            removed=sorted(before.keys() - self.routes.keys()),
            changed=sorted(
                name
                for name in self.routes.keys() & before.keys()
                if self.routes[name] != before[name]
            ),
        )
        for listener in self._listeners:
            listener()

    def _accept(self, text: bytes) -> None:
        self._text, self._refused, self.error = text, None, None
        self._metrics.routes_valid.set(1)

    def _reject(self, error: str) -> None:
        self._metrics.routes_valid.set(0)
        if error == self.error:
            return
        self.error = error
        self._metrics.routes_reloads_total.labels("rejected").inc()
        log.error("the routes file is invalid, the old routes stay", error=error)
