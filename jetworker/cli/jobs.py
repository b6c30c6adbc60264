"""The Jet side of the command line: storage profiles and manual jobs."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry
from rich.console import Console
from rich.table import Table

from jetworker.cli.exit_codes import OK
from jetworker.config.load import credentials_source
from jetworker.config.model import Config
from jetworker.core.errors import JobUnavailable
from jetworker.core.observation import JetJob
from jetworker.jet.client import JetClient, open_client
from jetworker.jet.jobs import profile
from jetworker.runtime.clock import Clock
from jetworker.runtime.metrics import Metrics


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


async def list_profiles(config: Config, environ: Mapping[str, str]) -> int:
    """Print the storage profiles."""
    async with jet_client(config, environ) as jet:
        profiles = await jet.list_profiles()
    rows = [(each.profile_id, each.name, each.kind) for each in profiles]
    _print(("id", "name", "type"), rows)
    return OK


async def list_jobs(config: Config, environ: Mapping[str, str]) -> int:
    """Print the jobs."""
    async with jet_client(config, environ) as jet:
        jobs = await jet.list_jobs()
    _print_jobs(jobs)
    return OK


async def create_job(
    config: Config, environ: Mapping[str, str], name: str, between: tuple[str, str]
) -> int:
    """Create a manual job between two storage profiles, each by id or name."""
    async with jet_client(config, environ) as jet:
        profiles = await jet.list_profiles()
        source, destination = (profile(profiles, wanted) for wanted in between)
        job = await jet.create_job(name, source, destination)
    _print_jobs((job,))
    return OK


async def set_paused(
    config: Config, environ: Mapping[str, str], wanted: str, *, paused: bool
) -> int:
    """Pause or resume a job, by id or name, and print how it is afterwards."""
    async with jet_client(config, environ) as jet:
        jobs = await jet.list_jobs()
        found = [job for job in jobs if wanted in (job.job_id, job.name)]
        if len(found) != 1:
            msg = f"job {wanted!r}: {len(found)} are called so at Jet"
            raise JobUnavailable(msg)
        await jet.set_paused(found[0].job_id, paused=paused)
        # Jet's own client reads it back: the answer alone proves nothing.
        job = await jet.get_job(found[0].job_id)
    _print_jobs((job,))
    return OK


def _print_jobs(jobs: tuple[JetJob, ...]) -> None:
    rows = [(job.job_id, job.name, "paused" if job.paused else "") for job in jobs]
    _print(("id", "name", ""), rows)


def _print(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Print a table on a terminal, tab-separated lines otherwise."""
    console = Console()
    if not console.is_terminal:
        for row in rows:
            console.file.write("\t".join(row) + "\n")
        return
    table = Table(*columns)
    for row in rows:
        table.add_row(*row)
    console.print(table)
