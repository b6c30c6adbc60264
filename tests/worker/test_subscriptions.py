"""A job has one subscription to our URL: found again, made once, however many make it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry

from jetworker.core.command import JobId, SubscriptionId
from jetworker.core.observation import Subscription
from jetworker.jet.client import JetClient
from jetworker.jet.jobs import JobResolver
from jetworker.runtime.clock import Clock
from jetworker.runtime.metrics import Metrics
from jetworker.worker.route_table import RouteTable
from jetworker.worker.subscriptions import Subscriptions, is_ours
from tests.support.jet import site as sandboxes
from tests.support.jet.site import Site
from tests.support.waiting import until

BASE = "https://hooks.example/jet/"
NOW, FORMER = f"{BASE}secret-of-today-16", f"{BASE}secret-of-the-past"
ROUTES = """
routes:
  one: {job_name: copy, notifications: true}
  other: {job_name: copy}
  quiet: {job_name: grow}
  future: {source: Source, destination: Target, job_name: not yet, notifications: true}
"""


@dataclass
class Office:
    """A sandbox, our client of it, and a routes file."""

    site: Site
    jet: JetClient
    routes: Path

    def worker(self, address: str = NOW) -> Subscriptions:
        """Return what a worker has to look after subscriptions."""
        route_table = RouteTable(self.routes, Metrics(CollectorRegistry()))
        resolver = JobResolver(self.jet, Clock())
        return Subscriptions(
            self.jet, resolver, route_table, address=address, base=BASE
        )

    async def urls(self) -> list[str]:
        """Return what the job `copy` is subscribed to, and nothing else is."""
        job_id = (await self.site.job()).rpartition("/")[2]
        shown = (await self.jet.list_subscriptions()).items
        assert {each.job_id for each in shown} <= {job_id}
        return [each.url for each in shown]

    async def asked(self, operation: str) -> int:
        """Return how often something was asked of Jet."""
        asked = (await self.site.ledger())["requests"]
        return sum(each["operation"] == operation for each in asked)


@asynccontextmanager
async def an_office(folder: Path) -> AsyncIterator[Office]:
    """Open one."""
    routes = folder / "routes.yaml"
    routes.write_text(ROUTES)
    given = sandboxes.settings(folder)
    async with (
        sandboxes.site(folder, given) as site,
        sandboxes.jet_client(str(site.http.base_url), "demo-secret") as jet,
    ):
        yield Office(site, jet, routes)


async def test_a_job_is_subscribed_to_once_by_any_number_of_workers(
    tmp_path: Path,
) -> None:
    async with an_office(tmp_path) as office:
        workers = [office.worker() for _ in range(3)]
        running = [asyncio.create_task(each.run()) for each in workers]
        try:
            await until(lambda: _are(office, [NOW]), "one subscription")
            await until(lambda: _listed(office, 3), "every worker to have looked")
        finally:
            for each in running:
                each.cancel()

        later = asyncio.create_task(office.worker().run())
        before = await office.asked("list_subscriptions")
        await until(
            lambda: _listed(office, before + 1), "a later worker to have looked"
        )
        later.cancel()

        assert await office.urls() == [NOW]


async def test_two_that_are_made_at_once_become_one(tmp_path: Path) -> None:
    """Both workers saw none, and both made one."""
    async with an_office(tmp_path) as office:
        job_id = JobId((await office.site.job()).rpartition("/")[2])
        await office.jet.subscribe(job_id, NOW)
        await office.jet.subscribe(job_id, NOW)

        await asyncio.gather(*(office.worker().subscribe(job_id) for _ in range(2)))

        assert await office.urls() == [NOW]


async def test_one_with_a_former_secret_makes_way_and_another_s_stays(
    tmp_path: Path,
) -> None:
    others = "https://other.example/jet/secret"
    async with an_office(tmp_path) as office:
        job_id = JobId((await office.site.job()).rpartition("/")[2])
        await office.jet.subscribe(job_id, FORMER)
        await office.jet.subscribe(job_id, others)

        await office.worker().subscribe(job_id)

        assert await office.urls() == [others, NOW]


async def test_a_lost_answer_makes_no_second_one(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        job_id = JobId((await office.site.job()).rpartition("/")[2])
        await office.site.fault("subscribe", "lost_after", times=1)
        worker = office.worker()
        running = asyncio.create_task(worker.run())
        await until(lambda: _are(office, [NOW]), "a subscription")
        running.cancel()

        await worker.subscribe(job_id)

        assert await office.urls() == [NOW]
        assert await office.asked("subscribe") == 1


def test_ours_are_known_by_all_of_their_url_but_the_secret() -> None:
    base = BASE
    urls = [NOW, FORMER, BASE, f"{BASE}a/b", "https://hooks.example/other/x", ""]

    ours = [_subscription(url) for url in urls]

    assert [is_ours(each, base) for each in ours] == [True, True, *[False] * 4]


def _subscription(url: str) -> Subscription:
    return Subscription(SubscriptionId("s"), JobId("j"), url)


async def _are(office: Office, urls: list[str]) -> bool:
    return await office.urls() == urls


async def _listed(office: Office, times: int) -> bool:
    return await office.asked("list_subscriptions") >= times
