"""`jetworker check`: everything a worker needs, each a line: ok, or what to do."""

import logging
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import assert_never

from jetworker.cli import output
from jetworker.cli.exit_codes import CONFIGURATION, OK
from jetworker.cli.jobs import jet_client
from jetworker.config import load as settings
from jetworker.config.model import Config, JetConfig
from jetworker.core.command import RouteName
from jetworker.core.errors import (
    ConfigurationError,
    JetError,
    JetNotFound,
    JetUnavailable,
    JetworkerError,
    JobUnavailable,
    KafkaUnavailable,
)
from jetworker.core.observation import JetJob
from jetworker.core.route import Route, WhenPaused
from jetworker.jet.client import JetClient
from jetworker.jet.jobs import JobResolver
from jetworker.jet.way import cure
from jetworker.kafka import topics
from jetworker.runtime import logs
from jetworker.runtime.clock import Clock
from jetworker.wire.printed import CheckedData, ChecksData
from jetworker.worker import route_table
from jetworker.worker.subscriptions import UNHEARD


@dataclass(slots=True)
class _Checks:
    """What was checked; told line by line as it comes, or as one document at the end."""

    as_json: bool
    found: list[CheckedData] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return all(each.ok for each in self.found)

    def tell(
        self, name: str, *, wrong: str | None = None, note: str | None = None
    ) -> bool:
        """Tell one check: what is *wrong*, or a *note* that is no error."""
        self.found.append(
            CheckedData(name=name, ok=wrong is None, message=wrong or note)
        )
        if not self.as_json:
            good = f"ok, {note}" if note else "ok"
            output.say(f"{name}: {wrong or good}")
        return wrong is None

    def end(self) -> int:
        """Print the document, if there is one; returns the exit code."""
        if self.as_json:
            output.document(ChecksData(ok=self.ok, checks=tuple(self.found)))
        return OK if self.ok else CONFIGURATION


async def check(environ: Mapping[str, str], *, offline: bool, as_json: bool) -> int:
    """
    Check in order; what builds on something that is wrong is not asked.

    *offline*: settings and routes alone, for where neither Kafka nor Jet is reached.
    """
    logs.configure("ERROR", "console")
    logging.getLogger("aiokafka").addFilter(logs.without("Unable connect to"))
    checks = _Checks(as_json)
    try:
        config = settings.load(environ)
    except ConfigurationError as exc:
        checks.tell("settings", wrong=str(exc))
        return checks.end()
    checks.tell("settings", note=config.warning)
    routes = _check_routes(config, checks)
    if not offline:
        await _check_topics(config, checks)
        async with jet_client(config, environ) as jet:
            await _check_jet(jet, routes, checks, config.jet)
    return checks.end()


def _check_routes(config: Config, checks: _Checks) -> Mapping[RouteName, Route]:
    try:
        _, routes = route_table.read(config.routes_file)
    except ConfigurationError as exc:
        checks.tell("routes", wrong=str(exc))
        return {}
    paused = sorted(route.name for route in routes.values() if route.paused)
    notes = [f"paused: {', '.join(paused)}"] if paused else []
    unheard = sorted(route.name for route in routes.values() if route.is_notified)
    if unheard and not config.notifications.is_on:
        notes.append(f"{', '.join(unheard)}: {UNHEARD}")
    checks.tell(f"routes ({len(routes)})", note="; ".join(notes) or None)
    return routes


async def _check_topics(config: Config, checks: _Checks) -> None:
    try:
        layout = await topics.layout(config)
    except KafkaUnavailable as exc:
        settings_of_it = "kafka.bootstrap_servers, security_protocol and credentials"
        checks.tell("kafka", wrong=_away(exc, settings_of_it))
        return
    checks.tell("kafka")
    wrong, note = "; ".join(layout.problems), "; ".join(layout.warnings)
    checks.tell("topics", wrong=wrong or None, note=note or None)


async def _check_jet(
    jet: JetClient,
    routes: Mapping[RouteName, Route],
    checks: _Checks,
    config: JetConfig,
) -> None:
    if not await _ask("token", jet.sign_in(), checks, config):
        return
    resolver = JobResolver(jet, Clock())
    for route in routes.values():
        found = _find_job(jet, resolver, route)
        await _ask(f"route {route.name}", found, checks, config)


async def _find_job(jet: JetClient, resolver: JobResolver, route: Route) -> str | None:
    """
    Find a route's job, and return what is worth knowing of it.

    One that would be created is not: a check changes nothing.
    """
    try:
        job = await resolver.find(route)
        if job is None:
            return f"the job {route.job_name!r} does not exist and would be created"
        # A listing may show a job otherwise than it shows itself.
        return _paused(await jet.get_job(job.job_id), route)
    except JetNotFound as exc:
        if route.job_id is None:
            raise
        msg = f"job_id {route.job_id!r}: Jet has no such job; see `jetworker jobs list`"
        raise JobUnavailable(msg) from exc


def _paused(job: JetJob, route: Route) -> str | None:
    if not job.paused:
        return None
    match route.when_paused:
        case WhenPaused.WAIT:
            then = "its commands wait until it is resumed"
        case WhenPaused.FAIL:
            then = "its commands fail, as the route says"
        case WhenPaused.RESUME:
            then = "the next start resumes it, as the route says"
        case _:
            assert_never(route.when_paused)
    return f"the job {job.name or job.job_id} is paused: {then}"


async def _ask(
    name: str, question: Awaitable[str | None], checks: _Checks, config: JetConfig
) -> bool:
    try:
        note = await question
    except (JetError, JobUnavailable) as exc:
        repair = cure(exc, config)
        if repair is None and isinstance(exc, JetUnavailable):
            return checks.tell(name, wrong=_away(exc, "jet.base_url and jet.proxy"))
        return checks.tell(name, wrong=f"{exc}: {repair}" if repair else str(exc))
    return checks.tell(name, note=note)


def _away(exc: JetworkerError, settings_of_it: str) -> str:
    """Say of what did not answer that no setting need be wrong for that."""
    return f"{exc}: a worker waits until it answers; if others reach it, check {settings_of_it}"
