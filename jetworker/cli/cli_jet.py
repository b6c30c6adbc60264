"""The commands about Jet's side: its jobs and its storage profiles."""

import os
from typing import Annotated

import typer

from jetworker.cli.cli_session import leave, load_config

jobs_cli = typer.Typer(help="Jet's manual jobs.", no_args_is_help=True)
profiles_cli = typer.Typer(help="Jet's storage profiles.", no_args_is_help=True)


@profiles_cli.command("list")
def profiles_list() -> None:
    """List the storage profiles."""
    from jetworker.cli import jobs as console

    leave(console.list_profiles(load_config(), os.environ))


@jobs_cli.command("list")
def jobs_list() -> None:
    """List the jobs."""
    from jetworker.cli import jobs as console

    leave(console.list_jobs(load_config(), os.environ))


@jobs_cli.command("create")
def jobs_create(name: str, source: str, destination: str) -> None:
    """Create a manual job between two storage profiles, by id or name."""
    from jetworker.cli import jobs as console

    leave(console.create_job(load_config(), os.environ, name, (source, destination)))


@jobs_cli.command("pause")
def jobs_pause(job: Annotated[str, typer.Argument(help="Its id or name.")]) -> None:
    """Pause a job."""
    from jetworker.cli import jobs as console

    leave(console.set_paused(load_config(), os.environ, job, paused=True))


@jobs_cli.command("resume")
def jobs_resume(job: Annotated[str, typer.Argument(help="Its id or name.")]) -> None:
    """Resume a paused job."""
    from jetworker.cli import jobs as console

    leave(console.set_paused(load_config(), os.environ, job, paused=False))
