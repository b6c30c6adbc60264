"""`jetworker check`: everything a worker needs, each a line: ok, or what to do."""

import sys
from collections.abc import Awaitable, Mapping

from jetworker.cli.exit_codes import CONFIGURATION, OK
from jetworker.cli.jobs import jet_client
from jetworker.config import load as settings
from jetworker.config.model import Config
from jetworker.core.errors import (
    ConfigurationError,
    JetError,
    JobUnavailable,
    KafkaUnavailable,
)
from jetworker.core.route import Route
from jetworker.jet.client import JetClient
from jetworker.jet.jobs import JobResolver
from jetworker.kafka import topics
from jetworker.runtime import logs
from jetworker.worker import route_table as routebook


async def check(environ: Mapping[str, str]) -> int:
    """Check in order; what builds on something that is wrong is not asked."""
    logs.configure("ERROR", "console")
    try:
        config = settings.load(environ)
    except ConfigurationError as exc:
        _tell("settings", str(exc))
        return CONFIGURATION
    _tell("settings", None)
    wrong = [_check_routes(config), await _check_topics(config)]
    async with jet_client(config, environ) as jet:
        wrong += await _check_jet(config, jet)
    return CONFIGURATION if any(wrong) else OK


def _check_routes(config: Config) -> bool:
    try:
        _, routes = routebook.read(config.routes_file)
    except ConfigurationError as exc:
        return _tell("routes", str(exc))
    return _tell(f"routes ({len(routes)})", None)


async def _check_topics(config: Config) -> bool:
    try:
        problems = await topics.layout_problems(config)
    except KafkaUnavailable as exc:
        return _tell("kafka", f"{exc}: check bootstrap servers and credentials")
    _tell("kafka", None)
    return _tell("topics", "; ".join(problems) or None)


async def _check_jet(config: Config, jet: JetClient) -> list[bool]:
    if await _ask("token", jet.sign_in()):
        return [True]
    try:
        _, routes = routebook.read(config.routes_file)
    except ConfigurationError:
        return []
    resolver = JobResolver(jet)
    wrong: list[bool] = []
    for route in routes.values():
        found = _find_job(jet, resolver, route)
        wrong.append(await _ask(f"route {route.name}", found))
    return wrong


async def _find_job(jet: JetClient, resolver: JobResolver, route: Route) -> None:
    """Find a route's job; one that would be created is not: a check changes nothing."""
    if route.source is None:
        await jet.get_job(await resolver.resolve(route))
    else:
        await resolver.profiles(route)


async def _ask(name: str, question: Awaitable[None]) -> bool:
    try:
        await question
    except (JetError, JobUnavailable) as exc:
        return _tell(name, str(exc))
    return _tell(name, None)


def _tell(name: str, wrong: str | None) -> bool:
    """Print a line; returns whether something is wrong."""
    sys.stdout.write(f"{name}: {wrong or 'ok'}\n")
    sys.stdout.flush()
    return wrong is not None
