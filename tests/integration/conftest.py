"""A system for each test: topics of its own, a Jet of its own, no workers yet."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.jet.fake_server import JetServer
from tests.support.system import STATED, System

ROUTES = f"""
routes:
  archive: {{job_id: job-archive, {STATED}}}
  by-name: {{job_name: nightly, {STATED}}}
  by-profiles: {{source: London, destination: Paris, job_name: created, {STATED}}}
  holding: {{job_id: job-archive, on_uncertain: hold, {STATED}}}
  resending: {{job_id: job-archive, on_uncertain: resend, {STATED}}}
  failing-paused: {{job_id: job-other, when_paused: fail}}
  resuming: {{job_id: job-other, when_paused: resume}}
  waiting-paused: {{job_id: job-other}}
  shut: {{job_id: job-other, paused: true}}
  narrow: {{job_id: job-archive, allowed_paths: [/ingest/], {STATED}}}
  limited: {{job_id: job-archive, max_active: 2, {STATED}}}
  gone: {{job_id: job-gone}}
  unnamed: {{job_name: no-such-name}}
  hurried: {{job_id: job-archive, deadline: 1s, {STATED}}}
"""


@pytest.fixture
async def jet() -> AsyncIterator[JetServer]:
    """Return an in-memory Jet with the jobs that the routes name."""
    async with JetServer() as server:
        server.add_job("archive", "job-archive")
        server.add_job("other", "job-other")
        server.add_job("nightly")
        yield server


@pytest.fixture
async def system(kafka: str, jet: JetServer, tmp_path: Path) -> AsyncIterator[System]:
    """Return a system with routes of every kind."""
    made = await System(kafka, jet, tmp_path, ROUTES).create()
    try:
        yield made
    finally:
        await made.close()
