"""From a route to Jet's job: found by id, by name, or between profiles, or created."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from aiohttp import web
from typing_extensions import override

from jetworker.core.command import JobId, RouteName
from jetworker.core.errors import JetUnavailable, JobUnavailable
from jetworker.core.observation import JetJob
from jetworker.core.route import Route
from jetworker.jet.client import JetClient
from jetworker.jet.jobs import JobResolver
from tests.support.fakes import HandClock
from tests.support.jet import site as sandboxes
from tests.support.jet.fake_server import JetServer

BY_NAME = Route(RouteName("r"), job_name="nightly")
BETWEEN = Route(RouteName("r"), job_name="made", source="London", destination="p-paris")


@dataclass
class Jet:
    """A Jet, and what resolves routes there."""

    server: JetServer
    resolver: JobResolver
    client: JetClient
    clock: HandClock


@pytest.fixture
async def jet() -> AsyncIterator[Jet]:
    async with (
        JetServer() as server,
        sandboxes.jet_client(server.base_url, server.secret) as client,
    ):
        clock = HandClock()
        yield Jet(server, JobResolver(client, clock), client, clock)


async def test_a_job_id_is_taken_at_its_word(jet: Jet) -> None:
    route = Route(RouteName("r"), job_id=JobId("anything"))

    assert await jet.resolver.resolve(route) == "anything"
    assert jet.server.requests == []


async def test_a_name_is_looked_up_once_and_again_when_its_job_has_vanished(
    jet: Jet,
) -> None:
    jet.server.add_job("nightly", "j-1")
    jet.server.add_job("nightly too", "j-2")
    assert jet.resolver.known(BY_NAME) is None

    first = await asyncio.gather(*(jet.resolver.resolve(BY_NAME) for _ in range(5)))
    asked = jet.server.count("list_jobs")
    del jet.server.jobs["j-1"]
    jet.server.add_job("nightly", "j-3")
    remembered = await jet.resolver.resolve(BY_NAME)
    jet.resolver.forget(BY_NAME)

    assert (first, asked, remembered) == (["j-1"] * 5, 1, "j-1")
    assert await jet.resolver.resolve(BY_NAME) == "j-3"
    assert jet.resolver.known(BY_NAME) == "j-3"


async def test_a_route_that_was_changed_is_resolved_anew(jet: Jet) -> None:
    jet.server.add_job("nightly", "j-1")
    jet.server.add_job("weekly", "j-2")
    await jet.resolver.resolve(BY_NAME)

    changed = Route(BY_NAME.name, job_name="weekly")
    assert await jet.resolver.resolve(changed) == "j-2"


async def test_what_a_route_says_is_said_of_the_job_that_it_names_now(jet: Jet) -> None:
    """Else a statement about its new job would be believed of the old one."""
    jet.server.add_job("nightly", "j-1")
    await jet.resolver.resolve(BY_NAME)

    moved = replace(BY_NAME, job_name="weekly", is_exclusive=True)
    stated = replace(BY_NAME, is_exclusive=True)

    assert jet.resolver.known(moved) is None
    assert jet.resolver.known(stated) == "j-1"


@pytest.mark.parametrize(("jobs", "said"), [(0, "no job is"), (2, "several jobs are")])
async def test_a_name_of_no_job_or_of_several_is_told(
    jet: Jet, jobs: int, said: str
) -> None:
    for _ in range(jobs):
        jet.server.add_job("nightly")

    with pytest.raises(JobUnavailable, match=f"'nightly': {said} called so at Jet"):
        await jet.resolver.resolve(BY_NAME)
    assert jet.resolver.known(BY_NAME) is None


async def test_a_job_between_the_profiles_is_created_once(jet: Jet) -> None:
    job_id = await jet.resolver.resolve(BETWEEN)
    jet.resolver.forget(BETWEEN)

    assert await jet.resolver.resolve(BETWEEN) == job_id
    (job,) = jet.server.jobs.values()
    assert (job.name, job.profiles) == ("made", ("p-london", "p-paris"))
    assert jet.server.count("create_job") == 1


async def test_no_job_is_created_by_a_look_of_long_ago(
    jet: Jet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waited for its turn, or was frozen, and another worker has created it."""
    create = jet.client.create_job

    async def create_late(*given: Any, **named: Any) -> JetJob:
        jet.clock.at += 60
        await JobResolver(jet.client, jet.clock).resolve(BETWEEN)
        return await create(*given, **named)

    def once(*given: Any, **named: Any) -> Any:
        monkeypatch.undo()
        return create_late(*given, **named)

    monkeypatch.setattr(jet.client, "create_job", once)

    with pytest.raises(JetUnavailable, match="looked for anew"):
        await jet.resolver.resolve(BETWEEN)
    job_id = await jet.resolver.resolve(BETWEEN)

    assert [*jet.server.jobs] == [job_id]


async def test_a_job_of_the_name_between_other_profiles_is_not_taken(jet: Jet) -> None:
    other = jet.server.add_job("made", "other")
    other.profiles = ("p-paris", "p-london")

    assert await jet.resolver.resolve(BETWEEN) != "other"


async def test_of_two_that_were_created_at_once_both_workers_take_the_oldest(
    jet: Jet,
) -> None:
    def another_was_faster(operation: str) -> None:
        if operation == "create_job":
            older = jet.server.add_job("made", "older")
            older.created_on = "2026-01-01T00:00:00.000Z"

    jet.server.on_applied = another_was_faster

    assert await jet.resolver.resolve(BETWEEN) == "older"
    assert len(jet.server.jobs) == 2


@pytest.mark.parametrize("ends", [("London", "Atlantis"), ("Atlantis", "Paris")])
async def test_a_profile_that_jet_does_not_know_is_told_and_creates_nothing(
    jet: Jet, ends: tuple[str, str]
) -> None:
    route = Route(BETWEEN.name, job_name="made", source=ends[0], destination=ends[1])

    with pytest.raises(JobUnavailable, match="'Atlantis': none is called so"):
        await jet.resolver.resolve(route)
    assert jet.server.jobs == {}


class Busy(JetServer):
    """Lists but one job, and shows in pages the one first that was active last."""

    def __init__(self, *, sorts: bool) -> None:
        super().__init__()
        self.fault = self._first_of_many
        self._sorts = sorts

    @staticmethod
    def _first_of_many(operation: str, server: JetServer) -> web.Response | None:
        if operation != "list_jobs":
            return None
        first = [each.document([]) for each in list(server.jobs.values())[:1]]
        return web.json_response({"items": first, "totalResultCount": len(server.jobs)})

    @override
    async def search_jobs(self, request: web.Request) -> web.Response:
        body = await request.json()
        found = list(self.jobs.values())
        if self._sorts and body.get("sortBy") == "jobName":
            found.sort(key=lambda job: job.name)
        items = [job.found() for job in found[body["offset"] :][: body["limit"]]]
        wanted = next(job for job in found if job.name == "made")
        self.jobs = {wanted.job_id: wanted, **self.jobs}
        return web.json_response({"items": items, "totalResultCount": len(found)})


@pytest.mark.parametrize("sorts", [True, False])
async def test_no_job_is_made_where_the_one_that_is_there_moves_while_pages_are_read(
    sorts: bool,
) -> None:
    async with Busy(sorts=sorts) as server:
        for number in range(150):
            server.add_job(f"a {number:03}")
        there = server.add_job("made", "there")
        opened = sandboxes.jet_client(server.base_url, server.secret)
        async with opened as client:
            resolver = JobResolver(client, HandClock())
            if sorts:
                assert await resolver.resolve(BETWEEN) == there.job_id
            else:
                with pytest.raises(JobUnavailable, match="only a part of its jobs"):
                    await resolver.resolve(BETWEEN)

    assert server.count("create_job") == 0
