"""The composition root of `jetworker run`: opens the parts, and closes them in reverse."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version

import structlog
from prometheus_client import CollectorRegistry

from jetworker import topics
from jetworker.bindings import Bindings
from jetworker.budget import Budget
from jetworker.calls import Calls
from jetworker.census import Census
from jetworker.clock import Clock
from jetworker.config import Config
from jetworker.connection import connect
from jetworker.core.lifecycle import Policy
from jetworker.core.pace import Backoff, Pace
from jetworker.crew import Services, Terms
from jetworker.errors import ConfigurationError, JetError, KafkaUnavailable
from jetworker.facts import Facts
from jetworker.follower import Follower
from jetworker.jet import JetClient
from jetworker.kafka import Kafka
from jetworker.lookup import Lookup
from jetworker.metrics import Metrics
from jetworker.poll import Poll
from jetworker.probes import Probes
from jetworker.routebook import RouteBook
from jetworker.routes import JobResolver
from jetworker.sender import Sender
from jetworker.settings import credentials_source
from jetworker.starter import Starter
from jetworker.sweep import Sweep
from jetworker.watchdog import Watchdog
from jetworker.watcher import Watcher
from jetworker.wire.answers import Answers
from jetworker.wire.events import Envelope
from jetworker.worker import Worker

log = structlog.get_logger()

VERSION = version("jetworker")
_LONGEST_LEASE = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that runs in a worker."""

    worker: Worker
    starter: Starter
    follower: Follower
    lookup: Lookup
    sweep: Sweep
    book: RouteBook
    watchdog: Watchdog
    calls: Calls
    facts: Facts


async def run(config: Config, environ: Mapping[str, str]) -> None:
    """
    Be a worker until SIGTERM or SIGINT.

    Raises ConfigurationError if the routes file or the topics' layout is wrong.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    registry = CollectorRegistry()
    metrics = Metrics(registry, VERSION)
    async with _parts(config, environ, metrics, stopping) as parts:
        probes = Probes(parts.facts, registry)
        port = await _listen(probes, config)
        log.info("probes, metrics and status are served", port=port)
        try:
            await _checked(config, stopping)
            await _work(parts, stopping, config)
        finally:
            await probes.stop()
    log.info("the worker has left, nothing is in flight")


async def _work(parts: Parts, stopping: asyncio.Event, config: Config) -> None:
    """
    Run every loop until the worker has left; an error of any ends all.

    Services outlive the worker's drain: starts in flight must be able to end.
    """
    loops = {
        "starter": parts.starter.run(),
        "follower": parts.follower.run(),
        "look-up": parts.lookup.run(),
        "sweep": parts.sweep.run(),
        "routes": parts.book.run(),
        "watchdog": parts.watchdog.run(),
        "token": _keep_signed_in(parts.calls),
    }
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(loop, name=name) for name, loop in loops.items()]
        for task in running:
            parts.watchdog.watch(task.get_name(), task)
        working = tasks.create_task(parts.worker.run(stopping), name="worker")
        await stopping.wait()
        log.info("stopping: no new work is taken, starts in flight are let end")
        # A hung Kafka must not keep the process: what is not committed is restored.
        limit = config.shutdown.timeout.total_seconds()
        _, late = await asyncio.wait([working], timeout=limit)
        if late:
            log.warning("the stop took too long, the rest is left to the next owner")
        for task in (*running, working):
            task.cancel()


async def _keep_signed_in(calls: Calls) -> None:
    """Have a token before the first command, and renew it while nothing else asks."""
    while True:
        try:
            await calls.tokens.get()
        except JetError as exc:
            log.warning("no token could be obtained, asking again", error=str(exc))
        await asyncio.sleep(1)


async def _listen(probes: Probes, config: Config) -> int:
    try:
        return await probes.start(config.http.host, config.http.port)
    except OSError as exc:
        msg = f"JETWORKER_HTTP__PORT: {config.http.port} cannot be used: {exc.strerror}"
        raise ConfigurationError(msg) from exc


async def _checked(config: Config, stopping: asyncio.Event) -> None:
    """Wait for Kafka, then make sure of the layout; raises ConfigurationError."""
    while not stopping.is_set():
        try:
            problems = await topics.layout_problems(config)
        except KafkaUnavailable as exc:
            log.warning("kafka cannot be reached, trying again", error=str(exc))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2):
                    await stopping.wait()
            continue
        if problems:
            raise ConfigurationError("; ".join(problems))
        return


@contextlib.asynccontextmanager
async def _parts(
    config: Config,
    environ: Mapping[str, str],
    metrics: Metrics,
    stopping: asyncio.Event,
) -> AsyncIterator[Parts]:
    """Put the parts together; whoever is opened here is closed here."""
    clock = Clock()
    census = Census(metrics)
    kafka = Kafka(config.kafka, config.topics)
    budget = Budget(config.jet.requests_per_second, clock, metrics)
    async with connect(config.jet, f"jetworker/{VERSION}") as connection:
        calls = Calls(
            connection,
            budget,
            clock,
            metrics,
            timeout=config.jet.request_timeout,
            credentials=credentials_source(config, environ),
        )
        jet = JetClient(calls)
        resolver = JobResolver(jet)
        book = RouteBook(config.routes_file, metrics)
        unknown = (
            Watcher(jet),
            Bindings(kafka),
            clock,
            config.starts.settle,
            metrics,
        )
        lookup, sweep = Lookup(*unknown), Sweep(*unknown)
        starter = Starter(
            book.current,
            resolver,
            Sender(jet, resolver),
            lookup,
            budget,
            census,
            clock,
            max_active=config.limits.max_active,
            backoff=_backoff(config),
        )
        book.on_change(starter.nudge)
        pace = Pace(config.polling.min_interval, config.polling.max_interval)
        follower = Follower(Poll(jet, clock), pace, clock)
        services = Services(starter, follower, lookup, sweep, census, metrics, clock)
        worker = Worker(kafka, _terms(config, book), services, config.shutdown.timeout)
        watchdog = Watchdog(clock, metrics)
        facts = Facts(
            VERSION,
            config,
            worker,
            starter,
            follower,
            census,
            calls.tokens,
            book,
            resolver,
            watchdog,
            metrics,
            clock,
            stopping.is_set,
        )
        yield Parts(
            worker, starter, follower, lookup, sweep, book, watchdog, calls, facts
        )


def _terms(config: Config, book: RouteBook) -> Terms:
    """
    Return what every partition's life shares.

    The lease is shorter than the session, so that no other worker owns the partition
    yet, and than the settle time, so that none has looked the start up.
    """
    envelope = Envelope(config.topics.events, f"/jetworker/{config.kafka.group_id}")
    lease = min(
        config.kafka.session_timeout / 2, config.starts.settle / 2, _LONGEST_LEASE
    )
    return Terms(
        policy=Policy(config.starts.max_attempts, config.events.progress_interval),
        envelope=envelope,
        answers=Answers(envelope, config.topics.dead_letters),
        state_topic=config.topics.state,
        max_objects=config.limits.max_objects,
        lease=lease,
        dedupe_window=config.dedupe_window,
        routes=book.current,
    )


def _backoff(config: Config) -> Backoff:
    ceiling = min(config.polling.max_interval, timedelta(seconds=15))
    return Backoff(min(config.polling.min_interval, timedelta(seconds=2)), ceiling)
