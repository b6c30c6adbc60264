"""The Jet side of the command line: storage profiles and manual jobs."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from prometheus_client import CollectorRegistry

from jetworker.cli import output
from jetworker.cli.exit_codes import FAILED, OK
from jetworker.config.load import credentials_source
from jetworker.config.model import Config
from jetworker.core.command import JobId, RouteName
from jetworker.core.errors import ConfigurationError, JobUnavailable
from jetworker.core.observation import JetJob, Listed
from jetworker.jet.client import JetClient, open_client
from jetworker.jet.jobs import JobResolver, profile
from jetworker.runtime.clock import Clock
from jetworker.runtime.metrics import Metrics
from jetworker.wire.printed import (
    JobData,
    JobsData,
    ProfileData,
    ProfilesData,
    UnsubscribedAllData,
    UnsubscribedData,
)
from jetworker.worker import route_table
from jetworker.worker.subscriptions import is_ours


@asynccontextmanager
async def jet_client(
    config: Config, environ: Mapping[str, str]
) -> AsyncIterator[JetClient]:
    """Open a client of Jet for one command; raises JetError."""
    async with open_client(
        config.jet,
        credentials_source(config, environ),
        Clock(),
        Metrics(CollectorRegistry()),
        user_agent="jetworker-cli",
    ) as jet:
        yield jet


async def list_profiles(
    config: Config, environ: Mapping[str, str], *, as_json: bool
) -> int:
    """Print the storage profiles; 1 if Jet does not show all."""
    async with jet_client(config, environ) as jet:
        listed = await jet.list_profiles()
    profiles = listed.items
    if as_json:
        found = (
            ProfileData(profile_id=each.profile_id, name=each.name, type=each.kind)
            for each in profiles
        )
        output.document(ProfilesData(profiles=tuple(found)))
    else:
        rows = [(each.profile_id, each.name, each.kind) for each in profiles]
        output.table(("id", "name", "type"), rows)
    return _whole(listed, "storage profiles")


async def list_jobs(
    config: Config, environ: Mapping[str, str], *, as_json: bool
) -> int:
    """Print the jobs; 1 if Jet does not show all."""
    async with jet_client(config, environ) as jet:
        listed = await jet.list_jobs()
    jobs = listed.items
    if as_json:
        output.document(JobsData(jobs=tuple(map(_data, jobs))))
    else:
        output.table(("id", "name", "state"), [_row(job) for job in jobs])
    return _whole(listed, "jobs")


async def create_job(
    config: Config,
    environ: Mapping[str, str],
    name: str,
    between: tuple[str, str],
    *,
    as_json: bool,
) -> int:
    """Create a manual job between two storage profiles, each by id or name."""
    async with jet_client(config, environ) as jet:
        profiles = await jet.list_profiles()
        source, destination = (profile(profiles, wanted) for wanted in between)
        job = await jet.create_job(name, source, destination)
    _print(job, as_json=as_json)
    return OK


async def set_paused(
    config: Config,
    environ: Mapping[str, str],
    wanted: str,
    *,
    paused: bool,
    as_json: bool,
) -> int:
    """Pause or resume a job, by id or name, and print how it is afterwards."""
    async with jet_client(config, environ) as jet:
        jobs = (await jet.list_jobs()).items
        found = [job for job in jobs if wanted in (job.job_id, job.name)]
        if len(found) != 1:
            many = "several are" if found else "none is"
            msg = f"job {wanted!r}: {many} called so at Jet; see `jetworker jobs list`"
            raise JobUnavailable(msg)
        await jet.set_paused(found[0].job_id, paused=paused)
        # Jet's own client reads it back: the answer alone proves nothing.
        job = await jet.get_job(found[0].job_id)
    _print(job, as_json=as_json)
    return OK


async def unsubscribe(
    config: Config, environ: Mapping[str, str], wanted: str | None, *, as_json: bool
) -> int:
    """
    Remove the subscriptions to our URL: those of one route's job, or all.

    1 if Jet does not show all that there are: some of ours may be left.
    """
    base = config.notifications.base
    if not config.notifications.is_on:
        msg = (
            "JETWORKER_NOTIFICATIONS__URL is not set: subscriptions are known by it; give"
            " it, __PORT and __SECRET as the workers have them"
        )
        raise ConfigurationError(msg)
    async with jet_client(config, environ) as jet:
        listed = await jet.list_subscriptions()
        found = [each for each in listed.items if is_ours(each, base)]
        if wanted is not None:
            job_id = await _job_of(config, JobResolver(jet, Clock()), wanted)
            found = [each for each in found if each.job_id == job_id]
        for each in found:
            await jet.unsubscribe(each.subscription_id)
    rows = tuple((each.subscription_id, each.job_id) for each in found)
    if as_json:
        ended = (UnsubscribedData(subscription_id=x, job_id=job) for x, job in rows)
        output.document(UnsubscribedAllData(unsubscribed=tuple(ended)))
    else:
        output.table(("subscription", "job"), rows)
    return _whole(listed, "subscriptions")


async def _job_of(config: Config, resolver: JobResolver, wanted: str) -> JobId | None:
    """Return the id of a route's job, None if it would be created."""
    _, routes = route_table.read(config.routes_file)
    route = routes.get(RouteName(wanted))
    if route is None:
        msg = f"{wanted!r} is not a route of {config.routes_file}"
        raise ConfigurationError(msg)
    job = await resolver.find(route)
    return job.job_id if job else None


def _whole(listed: Listed[Any], what: str) -> int:
    """Return the exit code of a listing; one that is a part only is not told as whole."""
    if listed.is_whole:
        return OK
    output.remark(f"Jet shows only a part of its {what}, or not all of it can be read")
    return FAILED


def _print(job: JetJob, *, as_json: bool) -> None:
    """Print how one job is."""
    if as_json:
        output.document(_data(job))
    else:
        output.row(_row(job))


def _row(job: JetJob) -> tuple[str, str, str]:
    return job.job_id, job.name, "paused" if job.paused else "active"


def _data(job: JetJob) -> JobData:
    return JobData(job_id=job.job_id, name=job.name, paused=job.paused)
