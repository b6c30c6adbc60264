"""Answers that are well formed and must not be taken at their word."""

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import stamina
from aiohttp import web

from jetworker.core.command import DeliveryId, JobId, ObjectSpec, RouteName, TransferId
from jetworker.core.errors import JetUnavailable
from tests.support.jet import site as sandboxes
from tests.support.jet.fake_server import JetServer


async def test_an_answer_about_another_delivery_or_transfer_is_no_answer() -> None:
    other = {"deliveryId": "d-2", "transferId": "t-2", "state": "COMPLETED"}
    job_id = JobId("j")
    async with (
        JetServer() as server,
        sandboxes.jet_client(server.base_url, server.secret) as jet,
    ):
        await jet.sign_in()
        server.fault = lambda _operation, _server: web.json_response(other)

        with pytest.raises(JetUnavailable):
            await jet.get_delivery(job_id, DeliveryId("d-1"))
        with pytest.raises(JetUnavailable):
            await jet.get_transfer(job_id, TransferId("t-1"))
        same = await jet.get_delivery(job_id, DeliveryId("d-2"))

    assert same.state == "COMPLETED"


async def test_a_date_to_wait_for_is_one_of_jets_clock() -> None:
    jets = datetime.now(UTC) - timedelta(hours=1)
    answers = iter([web.json_response({}, status=503), None])
    seen = []

    def busy(operation: str, _server: JetServer) -> web.Response | None:
        if operation != "get_job":
            return None
        seen.append(asyncio.get_running_loop().time())
        answer = next(answers)
        if answer is not None:
            answer.headers["Date"] = format_datetime(jets, usegmt=True)
            until = jets + timedelta(seconds=2)
            answer.headers["Retry-After"] = format_datetime(until, usegmt=True)
        return answer

    async with JetServer() as server:
        server.add_job("archive", "j")
        async with sandboxes.jet_client(server.base_url, server.secret) as jet:
            await jet.sign_in()
            server.fault = busy
            with pytest.raises(JetUnavailable) as told:
                await jet.get_job(JobId("j"))

    assert len(seen) == 1
    assert told.value.retry_after == pytest.approx(2.1, abs=0.1)


@pytest.mark.parametrize(
    "date",
    ["Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 23 Nov 2026 10:00:00 +99999999999999999"],
)
async def test_a_date_that_no_clock_shows_is_no_answer_s_end(date: str) -> None:
    """An answer to a start comes with it too: it was applied."""

    def dated(operation: str, _server: JetServer) -> web.Response | None:
        if operation != "get_job":
            return None
        return web.json_response({"jobId": "j"}, headers={"Date": date})

    async with JetServer() as server:
        server.add_job("archive", "j")
        async with sandboxes.jet_client(server.base_url, server.secret) as jet:
            await jet.sign_in()
            server.fault = dated
            job = await jet.get_job(JobId("j"))

    assert job.job_id == "j"


@pytest.mark.parametrize(
    ("status", "body"),
    [(502, "<html>"), (504, ""), (403, "no"), (200, "<html>"), (302, "")],
)
async def test_a_date_of_something_in_front_of_jet_is_not_of_jets_clock(
    status: int, body: str
) -> None:
    """It would end the time in which a lost start can have been applied too early."""
    behind = datetime.now(UTC) - timedelta(hours=1)

    def refused(operation: str, _server: JetServer) -> web.Response | None:
        if operation == "token":
            return None
        headers = {"Date": format_datetime(behind, usegmt=True)}
        return web.Response(status=status, text=body, headers=headers)

    async with JetServer() as server:
        server.add_job("archive", "j")
        async with sandboxes.jet_client(server.base_url, server.secret) as jet:
            await jet.sign_in()
            before = jet.jet_time
            server.fault = refused
            await jet.start_turn(RouteName("archive"))
            await jet.start_delivery(
                JobId("j"), (ObjectSpec("/a"),), guard=lambda: None
            )
            after = jet.jet_time

    assert before is not None
    assert after is not None
    assert after >= before


@pytest.mark.parametrize("status", [200, 403, 502])
async def test_a_page_that_is_dated_ahead_is_not_of_jets_clock(
    status: int,
) -> None:
    """Else the next start has a window in which its delivery was not made."""
    date = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)

    def in_front(operation: str, _server: JetServer) -> web.Response | None:
        if operation != "get_job":
            return None
        page = "<html>not today</html>"
        return web.Response(status=status, text=page, headers={"Date": date})

    async with (
        JetServer() as server,
        sandboxes.jet_client(server.base_url, server.secret) as jet,
    ):
        await jet.sign_in()
        server.fault = in_front
        with stamina.set_testing(True), pytest.raises(JetUnavailable):
            await jet.get_job(JobId("j"))

        assert jet.jet_time is not None
        assert jet.jet_time < datetime.now(UTC) + timedelta(minutes=1)
