"""Which deliveries a look at a job finds, where its document names none."""

from datetime import UTC, datetime, timedelta

from jetworker.core.command import DeliveryId, JobId
from jetworker.core.observation import Hint
from jetworker.worker.reconciliation.job_observer import JobObserver
from tests.support.jet import site as sandboxes
from tests.support.jet.fake_server import JetServer

OBJECTS = [{"relativePath": "/a.mov"}]


async def test_the_latest_files_lead_to_their_deliveries_and_later_looks_go_on() -> (
    None
):
    """What was lost just now is among the latest, however many there were before."""
    began = datetime(2026, 11, 23, tzinfo=UTC)
    async with JetServer() as server:
        server.add_job("archive", "j")
        server.listing = "none"
        server.seconds = 0.0
        made = [server.start("j", OBJECTS) for _ in range(120)]
        for number, each in enumerate(made):
            each.created_on = (began + timedelta(seconds=number)).isoformat()
        async with sandboxes.jet_client(server.base_url, server.secret) as jet:
            observer = JobObserver(jet)
            looks = [await observer.look(JobId("j")) for _ in range(3)]

    ids = [each.delivery_id for each in made]
    assert [look.listed for look in looks] == [frozenset()] * 3
    assert looks[0].named == set(ids[-50:])
    assert looks[1].named == set(ids[-100:])
    assert looks[2].named == set(ids)


async def test_what_a_notification_names_is_seen_where_jet_shows_it_and_asked_once() -> (
    None
):
    """On a job whose document lists nothing, and shows no files."""
    async with JetServer() as server:
        server.add_job("archive", "j")
        server.add_job("other", "k")
        server.listing = "none"
        made, elsewhere = server.start("j", OBJECTS), server.start("k", OBJECTS)
        server.seconds = 3600.0
        forged = [DeliveryId(f"forged-{n}") for n in range(15)]
        async with sandboxes.jet_client(server.base_url, server.secret) as jet:
            observer = JobObserver(jet)
            for each in (made.delivery_id, elsewhere.delivery_id, *forged):
                observer.hint(Hint(JobId("j"), DeliveryId(each)))
            looks = [await observer.look(JobId("j")) for _ in range(3)]

    assert [look.listed for look in looks] == [frozenset()] * 3
    assert [look.named for look in looks] == [{made.delivery_id}] * 3
    assert server.count("get_delivery") == 17


async def test_of_a_flood_of_names_the_latest_are_asked_for_a_few_a_look() -> None:
    async with JetServer() as server:
        server.add_job("archive", "j")
        async with sandboxes.jet_client(server.base_url, server.secret) as jet:
            observer = JobObserver(jet)
            for number in range(10_000):
                observer.hint(Hint(JobId("j"), DeliveryId(f"forged-{number}")))
            await observer.look(JobId("j"))

    assert server.count("get_delivery") == 20


async def test_of_files_that_jet_shows_in_part_it_is_told_that_they_are_a_part() -> (
    None
):
    """What a delivery shows of them may be less than it has, and none is not none."""
    async with JetServer() as server:
        server.add_job("archive", "j")
        server.seconds = 0.0
        made = [server.start("j", OBJECTS) for _ in range(2)]
        ids = [DeliveryId(each.delivery_id) for each in made]
        async with sandboxes.jet_client(server.base_url, server.secret) as jet:
            observer = JobObserver(jet)
            whole = await observer.files(JobId("j"))
            server.files_at_once = 1
            part = await observer.files(JobId("j"))
            shown = await observer.shown(JobId("j"), ids, part)

    assert (whole.is_whole, len(whole.of)) == (True, 2)
    assert (part.is_whole, len(part.of)) == (False, 1)
    found = [each for each in shown.values() if each is not None]
    assert [len(each.files) for each in found].count(0) == 1
    assert [each.has_all_files for each in found] == [False, False]
