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
    book: RouteTable
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
    book: RouteTable
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
        if any(_routes_of(self.book, self.resolver, hint.job_id)):
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
            self.book,
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
    """Put the parts of one worker together; nothing runs yet."""
    kafka, jet, book = outside.kafka, outside.jet, outside.book
    clock, metrics = outside.clock, outside.metrics
    counts = DeliveryCounts(metrics)
    resolver = JobResolver(jet)
    observer, locks = JobObserver(jet), JobLocks(clock)
    bindings = Bindings(kafka)
    views = JobViews(
        observer,
        bindings,
        clock=clock,
        metrics=metrics,
        settle=config.starts.settle,
        routes_of=partial(_routes_of, book, resolver),
    )
    nobodys = Unexplained(metrics)
    reconciler = Reconciler(
        views,
        observer,
        bindings,
        locks,
        nobodys,
        clock=clock,
        metrics=metrics,
        settle=config.starts.settle,
        remembered=config.dedupe_window,
    )
    sweep = Sweep(
        observer,
        bindings,
        nobodys,
        clock=clock,
        metrics=metrics,
        settle=config.starts.settle,
        remembered=config.dedupe_window,
    )
    lessons = Lessons(
        observer, clock=clock, metrics=metrics, settle=config.starts.settle
    )
    starter = Starter(
        partial(
            RouteDispatcher,
            routes=book.current,
            resolver=resolver,
            locks=locks,
            files=lessons,
            sender=StartSender(
                jet, resolver, clock, _longest_way(config), config.starts.settle
            ),
            counts=counts,
            clock=clock,
            metrics=metrics,
            max_active=config.limits.max_active,
            backoff=_backoff(config),
        )
    )
    book.on_change(starter.nudge)
    book.on_change(views.routes_changed)
    locks.on_change(starter.nudge)
    pace = Pace(config.polling.min_interval, config.polling.max_interval)
    watchdog = Watchdog(clock, metrics)
    poll = StatusPoll(jet, CommandRecords(kafka), clock, metrics)
    told_every = config.events.progress_interval
    follower = Follower(poll, pace, told_every, clock, watchdog, metrics)
    services = Services(
        starter,
        follower,
        reconciler,
        _noting(sweep, lessons),
        counts,
        metrics,
        clock,
        outside.tracing,
    )
    worker = Worker(
        kafka, _terms(config, book), services, config.shutdown.timeout, jet.share
    )
    running = worker, starter, follower, reconciler, sweep, lessons
    asked = jet, observer, _subscriptions(config, jet, resolver, book)
    return Parts(*running, counts, resolver, book, watchdog, *asked)


def _noting(sweep: Sweep, lessons: Lessons) -> Callable[[Delivery | Finished], None]:
    """Return what is told every snapshot."""

    def note(snapshot: Delivery | Finished) -> None:
        sweep.touch(snapshot)
        lessons.note(snapshot)

    return note


def _subscriptions(
    config: Config, jet: JetClient, resolver: JobResolver, book: RouteTable
) -> Subscriptions | None:
    """Return what subscribes to notifications, None where nobody listens for them."""
    given = config.notifications
    if not given.is_on:
        return None
    return Subscriptions(jet, resolver, book, address=given.address, base=given.base)


def _routes_of(
    book: RouteTable, resolver: JobResolver, job_id: JobId
) -> Sequence[Route]:
    """Return the routes of a job, as far as they were ever resolved."""
    routes = book.current().values()
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


def _terms(config: Config, book: RouteTable) -> PartitionOptions:
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
        routes=book.current,
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
