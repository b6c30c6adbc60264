"""A sandbox for every test that asks for one, and both servers that stand for Jet."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from jetworker.core.observation import JetJob
from jetworker.jet.client import JetClient
from tests.support.jet import both_sides as jet_sides
from tests.support.jet import site as sandboxes
from tests.support.jet.both_sides import Side
from tests.support.jet.site import Site

SIDES = {"fake": jet_sides.fake, "sandbox": jet_sides.sandbox}


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with sandboxes.site(tmp_path) as found:
        yield found


@pytest.fixture(params=SIDES)
async def side(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Side]:
    async with SIDES[request.param](tmp_path) as opened:
        yield opened


@pytest.fixture
async def jet(side: Side) -> AsyncIterator[JetClient]:
    async with sandboxes.jet_client(side.base_url, side.secret) as client:
        yield client


@pytest.fixture
async def job(jet: JetClient) -> JetJob:
    profiles = {
        each.name: each.profile_id for each in (await jet.list_profiles()).items
    }
    return await jet.create_job("contract", profiles["London"], profiles["Paris"])
