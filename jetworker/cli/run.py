"""The composition root of `jetworker run`: opens the parts, and closes them in reverse."""

import asyncio
import contextlib
import gc
import signal
from collections.abc import AsyncIterator, Mapping

import structlog
from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
)

from jetworker.cli.listening import Address
from jetworker.config.load import credentials_source, kafka_source
from jetworker.config.model import Config
from jetworker.core.errors import ConfigurationError, KafkaUnavailable, LoopEnded
from jetworker.http.notifications import NotificationServer
from jetworker.http.report import Report
from jetworker.http.server import HttpServer
from jetworker.jet.client import open_client
from jetworker.kafka import topics
from jetworker.kafka.clients import KafkaClients
from jetworker.runtime.clock import Clock, wait
from jetworker.runtime.metrics import Metrics
from jetworker.runtime.tracing import open_tracing
from jetworker.worker.assembly import VERSION, Outside, Parts, assemble
from jetworker.worker.route_table import RouteTable
from jetworker.worker.subscriptions import UNHEARD

log = structlog.get_logger()

_CLOSING = 5.0  # seconds
# Objects made before the search for cycles begins, and how often it goes on to older
# ones. A listing of 500 transfers makes thousands that are gone with it, and hardly a
# cycle: by Python's own numbers (700, 10, 10) the search was a quarter of our CPU.
_CYCLES = (50_000, 20, 10)
_HOST = "JETWORKER_HTTP__HOST"


async def run(config: Config, environ: Mapping[str, str]) -> None:
    """
    Be a worker until SIGTERM or SIGINT.

    Raises ConfigurationError if the routes file or the topics' layout is wrong.
    """
    gc.set_threshold(*_CYCLES)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)  # of this process: a registry has one worker
    metrics = Metrics(registry, VERSION)
    async with _opened(config, environ, metrics) as parts:
        report = Report(parts.standing, config, metrics, Clock(), stopping.is_set)
        probes = HttpServer(report, registry)
        port = await _listen(probes, config)
        if config.warning is not None:
            log.warning("a setting is unwise", because=config.warning)
        log.info("probes, metrics and status are served", port=port)
        try:
            async with _notified(config, parts, metrics):
                await _checked(config, stopping)
                await work(parts, stopping, config)
        finally:
            await probes.stop()
    log.info("the worker has left, nothing is in flight")


async def work(parts: Parts, stopping: asyncio.Event, config: Config) -> None:
    """
    Run every loop until the worker has left; an error of any ends all.

    Services outlive the worker's drain: starts in flight must be able to end. Raises
    LoopEnded if one ends by itself: a task that was cancelled ends without a word.
    """
    loops = parts.services() | {
        "routes": parts.route_table.run(),
        "watchdog": parts.watchdog.run(),
    }
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(loop, name=name) for name, loop in loops.items()]
        working = tasks.create_task(parts.worker.run(stopping), name="worker")
        stopped = tasks.create_task(stopping.wait(), name="stop")
        ended, _ = await asyncio.wait(
            [stopped, *running, working], return_when=asyncio.FIRST_COMPLETED
        )
        if not stopping.is_set():
            names = ", ".join(sorted(task.get_name() for task in ended))
            msg = f"ended by itself, which is a defect: {names}"
            raise LoopEnded(msg)
        log.info("stopping: no new work is taken, starts in flight are let end")
        # A hung Kafka must not keep the process: what is not committed is restored.
        # Closing what hangs takes time, too: the whole stop is to fit.
        whole = config.shutdown.timeout.total_seconds()
        limit = max(whole / 2, whole - _CLOSING)
        _, late = await asyncio.wait([working], timeout=limit)
        if late:
            log.warning("the stop took too long, the rest is left to the next owner")
        for task in (*running, working):
            task.cancel()


async def _listen(probes: HttpServer, config: Config) -> int:
    host, port = config.http.host, config.http.port
    try:
        return await probes.start(host, port)
    except (OSError, UnicodeError) as exc:
        address = Address(host, port, _HOST, "JETWORKER_HTTP__PORT")
        raise address.unusable(exc) from exc


@contextlib.asynccontextmanager
async def _notified(
    config: Config, parts: Parts, metrics: Metrics
) -> AsyncIterator[None]:
    """Listen for Jet's notifications, where that is wanted."""
    given = config.notifications
    if given.port is None or given.secret is None:
        unheard = [x.name for x in parts.route_table.routes.values() if x.is_notified]
        if unheard:
            log.warning(UNHEARD, routes=sorted(unheard))
        yield
        return
    secret = given.secret.get_secret_value()
    miss = parts.follower.miss_notification
    server = NotificationServer(parts.hint, miss, secret, Clock(), metrics)
    try:
        port = await server.start(config.http.host, given.port)
    except OSError as exc:
        setting = "JETWORKER_NOTIFICATIONS__PORT"
        address = Address(config.http.host, given.port, _HOST, setting)
        raise address.unusable(exc) from exc
    try:
        log.info("Jet's notifications are listened for", notifications_port=port)
        yield
    finally:
        await server.stop()


async def _checked(config: Config, stopping: asyncio.Event) -> None:
    """Wait for Kafka, then make sure of the layout; raises ConfigurationError."""
    while not stopping.is_set():
        try:
            layout = await topics.layout(config)
        except KafkaUnavailable as exc:
            log.warning(
                "kafka cannot be reached, trying again",
                about="kafka",
                error=str(exc),
            )
            await wait(stopping, 2)
            continue
        for warning in layout.warnings:
            log.warning("the topics are unwise", because=warning, about=warning)
        if layout.problems:
            raise ConfigurationError("; ".join(layout.problems))
        return


@contextlib.asynccontextmanager
async def _opened(
    config: Config,
    environ: Mapping[str, str],
    metrics: Metrics,
) -> AsyncIterator[Parts]:
    """Open what lies outside and put the worker together on it."""
    clock = Clock()
    with contextlib.ExitStack() as closing:
        tracing = open_tracing(environ, VERSION)
        if tracing is not None:
            closing.callback(tracing.close)
        async with open_client(
            config.jet,
            credentials_source(config, environ),
            clock,
            metrics,
            user_agent=f"jetworker/{VERSION}",
        ) as jet:
            outside = Outside(
                KafkaClients(
                    config.kafka, config.topics, kafka_source(config, environ)
                ),
                jet,
                RouteTable(config.routes_file, metrics),
                clock,
                metrics,
                tracing,
            )
            yield assemble(config, outside)
