"""From a route to Jet's job: by id, by name, or by storage profiles, found or created."""

import asyncio
from collections.abc import Iterable

import structlog

from jetworker.core.command import JobId, ProfileId, RouteName
from jetworker.core.errors import JetNotFound, JetUnavailable, JobUnavailable
from jetworker.core.observation import JetJob, Listed, StorageProfile
from jetworker.core.route import Route
from jetworker.jet.budget import Priority
from jetworker.jet.client import JetClient
from jetworker.runtime.clock import Clock

log = structlog.get_logger()

_SEEN_FOR = 30.0  # seconds: others may have made what was not there


class JobResolver:
    """Resolves routes, one at a time for each, and remembers the answers."""

    def __init__(self, jet: JetClient, clock: Clock) -> None:
        self._jet = jet
        self._clock = clock
        self._jobs: dict[RouteName, tuple[Route, JobId]] = {}
        self._locks: dict[RouteName, asyncio.Lock] = {}

    async def resolve(self, route: Route) -> JobId:
        """
        Return the route's job; raises JobUnavailable or JetError.

        JobUnavailable is for an operator: no job or several have the name, or a
        storage profile is unknown.
        """
        if route.job_id is not None:
            return route.job_id
        async with self._locks.setdefault(route.name, asyncio.Lock()):
            known, job_id = self._jobs.get(route.name, (None, None))
            if job_id is None or known != route:
                job_id = await self._find(route)
                self._jobs[route.name] = (route, job_id)
        return job_id

    def known(self, route: Route) -> JobId | None:
        """Return the job if it was resolved before, as the route names it now."""
        if route.job_id is not None:
            return route.job_id
        known, job_id = self._jobs.get(route.name, (None, None))
        return job_id if known is not None and _names(known) == _names(route) else None

    def forget(self, route: Route) -> None:
        """Resolve anew the next time: the job has vanished."""
        self._jobs.pop(route.name, None)

    async def find(self, route: Route) -> JetJob | None:
        """
        Return a route's job without making one; None if it would be created.

        Raises JobUnavailable or JetError.
        """
        if route.job_id is not None:
            return await self._jet.get_job(route.job_id)
        if route.source is None or route.destination is None:
            return self._only(route, *await self._named(route))
        return self._existing(
            route, await self.profiles(route), *await self._named(route)
        )

    async def _find(self, route: Route) -> JobId:
        if route.source is None or route.destination is None:
            return self._only(route, *await self._named(route)).job_id
        profiles = await self.profiles(route)
        existing = self._existing(route, profiles, *await self._named(route))
        if existing is not None:
            return existing.job_id
        return await self._create(route, profiles, self._clock.monotonic())

    def _existing(
        self,
        route: Route,
        profiles: tuple[ProfileId, ProfileId],
        named: list[JetJob],
        is_whole: bool,  # noqa: FBT001 -- passed on
    ) -> JetJob | None:
        """Return the route's job among those of its name, None if there is none."""
        jobs = _between(profiles, named)
        if jobs:
            return self._oldest(route, jobs)
        if not is_whole:
            msg = (
                f"job_name {route.job_name!r}: Jet lists only a part of its jobs, so"
                " none is created; name the job by job_id"
            )
            raise JobUnavailable(msg)
        return None

    async def _create(
        self, route: Route, profiles: tuple[ProfileId, ProfileId], looked_at: float
    ) -> JobId:
        """
        Create the job, then look again: another worker may have done the same.

        Both see both jobs then, and both take the oldest. Not by a look of long ago:
        whoever waited for its turn, or was frozen, would make a spare for nothing.
        """

        def check() -> None:
            if self._clock.monotonic() - looked_at > _SEEN_FOR:
                msg = "it is too long ago that there was no such job, it is looked for anew"
                raise JetUnavailable(msg)

        assert route.job_name is not None
        created = await self._jet.create_job(
            route.job_name, *profiles, route.growing, route=route.name, guard=check
        )
        log.info("a manual job was created", route=route.name, job_id=created.job_id)
        named, _ = await self._named(route)
        jobs = _between(profiles, named)
        chosen = self._oldest(route, jobs or [created])
        if chosen.job_id != created.job_id:
            log.warning(
                "two jobs were created at once, the oldest is used and this is spare",
                route=route.name,
                job_id=chosen.job_id,
                spare=created.job_id,
            )
        return chosen.job_id

    async def _named(self, route: Route) -> tuple[list[JetJob], bool]:
        """Return the jobs of the route's name, and whether there are no others."""
        listed = await self._jet.list_jobs(route=route.name)
        named = [job for job in listed.items if job.name == route.job_name]
        whole = [
            job if job.profile_ids else await self._whole(route, job) for job in named
        ]
        return [job for job in whole if job is not None], listed.is_whole

    async def _whole(self, route: Route, job: JetJob) -> JetJob | None:
        """Return a job that was listed without its storage profiles; None if deleted."""
        try:
            return await self._jet.get_job(
                job.job_id, priority=Priority.START, route=route.name
            )
        except JetNotFound:
            return None

    async def profiles(self, route: Route) -> tuple[ProfileId, ProfileId]:
        """Return the ids of a route's storage profiles, named by id or name."""
        profiles = await self._jet.list_profiles(route=route.name)
        assert route.source is not None
        assert route.destination is not None
        return profile(profiles, route.source), profile(profiles, route.destination)

    def _only(self, route: Route, jobs: list[JetJob], is_whole: bool) -> JetJob:  # noqa: FBT001 -- passed on
        if len(jobs) != 1:
            many = "several jobs are" if jobs else "no job is"
            if not is_whole:
                many = "Jet lists only a part of its jobs; name it by job_id: none is"
            msg = f"job_name {route.job_name!r}: {many} called so at Jet"
            raise JobUnavailable(msg)
        return jobs[0]

    def _oldest(self, route: Route, jobs: Iterable[JetJob]) -> JetJob:
        ordered = sorted(jobs, key=lambda job: (_age(job), job.job_id))
        for spare in ordered[1:]:
            log.warning(
                "a spare job of the route's name is not used, delete it at Jet",
                route=route.name,
                job_id=ordered[0].job_id,
                spare=spare.job_id,
            )
        return ordered[0]


def _names(route: Route) -> tuple[str | None, ...]:
    """Return by what a route names its job, where that is not the id."""
    return route.job_name, route.source, route.destination


def profile(listed: Listed[StorageProfile], wanted: str) -> ProfileId:
    """Return the id of the profile that is *wanted*, by id or else by its name."""
    known = listed.items
    by_id = [each.profile_id for each in known if each.profile_id == wanted]
    found = by_id or [each.profile_id for each in known if each.name == wanted]
    if len(found) != 1 or not (by_id or listed.is_whole):
        many = "several storage profiles are" if found[1:] else "none is"
        if not listed.is_whole:
            many = "Jet lists only a part of them; name it by its id: none is surely"
        msg = f"storage profile {wanted!r}: {many} called so at Jet"
        raise JobUnavailable(msg)
    return found[0]


def _between(
    profiles: tuple[ProfileId, ProfileId], jobs: Iterable[JetJob]
) -> list[JetJob]:
    """Return the jobs between these profiles; one that shows none may be any."""
    return [job for job in jobs if job.profile_ids in (profiles, None)]


def _age(job: JetJob) -> float:
    return job.created_on.timestamp() if job.created_on else float("inf")
