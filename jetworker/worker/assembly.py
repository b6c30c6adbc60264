"""The parts of a worker, and how they are put together from what lies outside of it."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from importlib.metadata import version

import structlog

from jetworker.config.model import Config
from jetworker.core.command import JobId
from jetworker.core.delivery import Delivery
from jetworker.core.errors import JetError
from jetworker.core.finished import Finished
from jetworker.core.observation import Hint
from jetworker.core.polling import Pace
from jetworker.core.rate import Backoff
from jetworker.core.route import Route
from jetworker.core.transitions import Policy
from jetworker.jet.client import JetClient
from jetworker.jet.jobs import JobResolver
from jetworker.kafka.clients import KafkaClients
from jetworker.kafka.command_record import CommandRecords
from jetworker.runtime.clock import Clock
from jetworker.runtime.metrics import Metrics
from jetworker.runtime.tracing import Tracing
from jetworker.runtime.watchdog import Watchdog
from jetworker.wire.answers import Answers
from jetworker.wire.events import Envelope
from jetworker.worker.deliveries import PartitionOptions
from jetworker.worker.delivery_counts import DeliveryCounts
from jetworker.worker.following.follower import Follower
from jetworker.worker.following.poll import StatusPoll
from jetworker.worker.job_locks import JobLocks
from jetworker.worker.reconciliation.bindings import Bindings
from jetworker.worker.reconciliation.job_observer import JobObserver
from jetworker.worker.reconciliation.job_views import JobViews
from jetworker.worker.reconciliation.lessons import Lessons
from jetworker.worker.reconciliation.reconciler import Reconciler
from jetworker.worker.reconciliation.sweep import Sweep
from jetworker.worker.reconciliation.unexplained import Unexplained
from jetworker.worker.route_table import RouteTable
from jetworker.worker.services import Services
from jetworker.worker.standing import Standing
from jetworker.worker.starts.dispatcher import RouteDispatcher
from jetworker.worker.starts.sender import StartSender
from jetworker.worker.starts.starter import Starter
from jetworker.worker.subscriptions import Subscriptions
from jetworker.worker.worker import Worker

log = structlog.get_logger()

VERSION = version("jetworker")
_LONGEST_LEASE = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Outside:
    """What a worker does not make itself: everything that is real about it."""

    kafka: KafkaClients
    jet: JetClient
    route_table: RouteTable
    clock: Clock
    metrics: Metrics
    tracing: Tracing | None = None


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that runs in a worker."""

    worker: Worker
    starter: Starter
    follower: Follower
    reconciler: Reconciler
    sweep: Sweep
    lessons: Lessons
    counts: DeliveryCounts
    resolver: JobResolver
    route_table: RouteTable
    watchdog: Watchdog
    jet: JetClient
    observer: JobObserver
    subscriptions: Subscriptions | None

    def hint(self, hint: Hint) -> bool:
        """
        Take a delivery that a notification names; returns whether it is followed here.

        One that is not may be another worker's, an unknown start's or nobody's: it is
        asked for if the job is looked at, and forgotten otherwise.
        """
        if self.follower.hint(hint):
            return True
        if any(_routes_of(self.route_table, self.resolver, hint.job_id)):
            self.observer.hint(hint)
        return False

    @property
    def standing(self) -> Standing:
        """What others may ask of this worker."""
        return Standing(
            self.worker,
            self.starter,
            self.follower,
            self.counts,
            self.resolver,
            self.route_table,
            self.watchdog,
            self.jet,
        )

    def services(self) -> dict[str, Coroutine[None, None, None]]:
        """Return the loops that serve the partitions, by name."""
        loops = {
            "starter": self.starter.run(),
            "follower": self.follower.run(),
            "look-up": self.reconciler.run(),
            "sweep": self.sweep.run(),
            "lessons": self.lessons.run(),
            "token": _keep_signed_in(self.jet),
        }
        if self.subscriptions is not None:
            loops["subscriptions"] = self.subscriptions.run()
        return loops


def assemble(config: Config, outside: Outside) -> Parts:
    """
    Put the parts of one worker together; nothing runs yet.

    1. Make what several parts share, and of it the three services.
    2. Let those be told whom a change sets free: of the routes, and of a job.
    3. Make the worker, which gives its partitions to the services.
    """
    shared = _Shared.of(config, outside)
    views = _views(shared)
    reconciler = _reconciler(shared, views)
    sweep, lessons = _sweep(shared), _lessons(shared)
    starter = _starter(shared, lessons)
    watchdog = Watchdog(outside.clock, outside.metrics)
    follower = _follower(shared, watchdog)
    outside.route_table.on_change(starter.nudge)
    outside.route_table.on_change(views.routes_changed)
    shared.locks.on_change(starter.nudge)
    services = Services(
        starter,
        follower,
        reconciler,
        _noting(sweep, lessons),
        shared.counts,
        outside.metrics,
        outside.clock,
        outside.tracing,
    )
    worker = Worker(
        outside.kafka,
        _options(config, outside.route_table),
        services,
        config.shutdown.timeout,
        outside.jet.share,
    )
    return Parts(
        worker=worker,
        starter=starter,
        follower=follower,
        reconciler=reconciler,
        sweep=sweep,
        lessons=lessons,
        counts=shared.counts,
        resolver=shared.resolver,
        route_table=outside.route_table,
        watchdog=watchdog,
        jet=outside.jet,
        observer=shared.observer,
        subscriptions=_subscriptions(config, outside, shared.resolver),
    )


@dataclass(frozen=True, slots=True)
class _Shared:
    """What several parts of one worker use, and what they are made from."""

    config: Config
    outside: Outside
    counts: DeliveryCounts
    resolver: JobResolver
    observer: JobObserver
    bindings: Bindings
    locks: JobLocks
    unexplained: Unexplained

    @classmethod
    def of(cls, config: Config, outside: Outside) -> "_Shared":
        """Make it, once a worker."""
        return cls(
            config,
            outside,
            DeliveryCounts(outside.metrics),
            JobResolver(outside.jet, outside.clock),
            JobObserver(outside.jet),
            Bindings(outside.kafka),
            JobLocks(outside.clock),
            Unexplained(outside.metrics),
        )


def _views(shared: _Shared) -> JobViews:
    return JobViews(
        shared.observer,
        shared.bindings,
        clock=shared.outside.clock,
        metrics=shared.outside.metrics,
        settle=shared.config.starts.settle,
        routes_of=partial(_routes_of, shared.outside.route_table, shared.resolver),
    )


def _reconciler(shared: _Shared, views: JobViews) -> Reconciler:
    return Reconciler(
        views,
        shared.observer,
        shared.bindings,
        shared.locks,
        shared.unexplained,
        clock=shared.outside.clock,
        metrics=shared.outside.metrics,
        settle=shared.config.starts.settle,
        remembered=shared.config.dedupe_window,
    )


def _sweep(shared: _Shared) -> Sweep:
    return Sweep(
        shared.observer,
        shared.bindings,
        shared.unexplained,
        clock=shared.outside.clock,
        metrics=shared.outside.metrics,
        settle=shared.config.starts.settle,
        remembered=shared.config.dedupe_window,
    )


def _lessons(shared: _Shared) -> Lessons:
    return Lessons(
        shared.observer,
        clock=shared.outside.clock,
        metrics=shared.outside.metrics,
        settle=shared.config.starts.settle,
    )


def _starter(shared: _Shared, lessons: Lessons) -> Starter:
    """Return what makes a dispatcher for each route; they share a sender."""
    config, outside = shared.config, shared.outside
    sender = StartSender(
        outside.jet,
        shared.resolver,
        outside.clock,
        _longest_way(config),
        config.starts.settle,
    )
    return Starter(
        partial(
            RouteDispatcher,
            routes=outside.route_table.current,
            resolver=shared.resolver,
            locks=shared.locks,
            files=lessons,
            sender=sender,
            counts=shared.counts,
            clock=outside.clock,
            metrics=outside.metrics,
            max_active=config.limits.max_active,
            backoff=_backoff(config),
        )
    )


def _follower(shared: _Shared, watchdog: Watchdog) -> Follower:
    config, outside = shared.config, shared.outside
    clock, metrics = outside.clock, outside.metrics
    return Follower(
        StatusPoll(outside.jet, CommandRecords(outside.kafka), clock, metrics),
        Pace(config.polling.min_interval, config.polling.max_interval),
        config.events.progress_interval,
        clock,
        watchdog,
        metrics,
    )


def _noting(sweep: Sweep, lessons: Lessons) -> Callable[[Delivery | Finished], None]:
    """Return what is told every snapshot."""

    def note(snapshot: Delivery | Finished) -> None:
        sweep.touch(snapshot)
        lessons.note(snapshot)

    return note


def _subscriptions(
    config: Config, outside: Outside, resolver: JobResolver
) -> Subscriptions | None:
    """Return what subscribes to notifications, None where nobody listens for them."""
    given = config.notifications
    if not given.is_on:
        return None
    return Subscriptions(
        outside.jet,
        resolver,
        outside.route_table,
        address=given.address,
        base=given.base,
    )


def _routes_of(
    route_table: RouteTable, resolver: JobResolver, job_id: JobId
) -> Sequence[Route]:
    """Return the routes of a job, as far as they were ever resolved."""
    routes = route_table.current().values()
    return [each for each in routes if resolver.known(each) == job_id]


async def _keep_signed_in(jet: JetClient) -> None:
    """Have a token before the first command, and renew it while nothing else asks."""
    while True:
        try:
            await jet.sign_in()
        except JetError as exc:
            log.warning(
                "no token could be obtained, asking again",
                about="token",
                error=str(exc),
            )
        await asyncio.sleep(1)


def _options(config: Config, route_table: RouteTable) -> PartitionOptions:
    """Return what every partition's life shares."""
    envelope = Envelope(
        config.topics.events,
        f"/jetworker/{config.kafka.group_id}",
        config.topics.deliveries,
    )
    return PartitionOptions(
        policy=Policy(config.starts.max_attempts, config.events.progress_interval),
        envelope=envelope,
        answers=Answers(envelope, config.topics.dead_letters),
        state_topic=config.topics.state,
        max_objects=config.limits.max_objects,
        max_waiting_bytes=config.starts.max_waiting_bytes,
        lease=_lease(config),
        dedupe_window=config.dedupe_window,
        routes=route_table.current,
    )


def _lease(config: Config) -> timedelta:
    """
    Return the age up to which a written intent may be sent.

    Shorter than the session, so that no other worker owns the partition yet, and than
    the settle time, so that none has looked the start up.
    """
    return min(
        config.kafka.session_timeout / 2, config.starts.settle / 2, _LONGEST_LEASE
    )


def _longest_way(config: Config) -> timedelta:
    """Return the longest time from the writing of an intent until Jet has applied it."""
    return _lease(config) + config.jet.request_timeout + config.starts.settle


def _backoff(config: Config) -> Backoff:
    ceiling = min(config.polling.max_interval, timedelta(seconds=15))
    return Backoff(min(config.polling.min_interval, timedelta(seconds=2)), ceiling)
