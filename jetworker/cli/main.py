"""The command line: every command's arguments, help and exit code."""

import asyncio
import json
import os
import sys
from collections.abc import Coroutine
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from jetworker.cli.exit_codes import CONFIGURATION, FAILED, OK, REJECTED
from jetworker.config import load as settings
from jetworker.config.model import Config
from jetworker.core.errors import ConfigurationError, JetworkerError

cli = typer.Typer(
    name="jetworker",
    help="Moves files with Signiant Jet when a Kafka message says so.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
topics_cli = typer.Typer(help="The four topics.", no_args_is_help=True)
jobs_cli = typer.Typer(help="Jet's manual jobs.", no_args_is_help=True)
profiles_cli = typer.Typer(help="Jet's storage profiles.", no_args_is_help=True)
cli.add_typer(topics_cli, name="topics")
cli.add_typer(jobs_cli, name="jobs")
cli.add_typer(profiles_cli, name="profiles")

CommandIdArgument = Annotated[str, typer.Argument(metavar="COMMAND_ID")]
JobArgument = Annotated[str, typer.Argument(help="Its id or name.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def run() -> None:
    """Run a command; what goes wrong is one line on stderr and an exit code."""
    try:
        cli()
    except ConfigurationError as exc:
        _fail(f"configuration: {exc}", CONFIGURATION)
    except JetworkerError as exc:
        _fail(str(exc), FAILED)


def _tell_version(wanted: bool) -> None:  # noqa: FBT001 -- typer's callback
    if wanted:
        typer.echo(f"jetworker {version('jetworker')}")
        raise typer.Exit


@cli.callback()
def every_command(
    *,
    _: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version and leave.",
            callback=_tell_version,
            is_eager=True,
        ),
    ] = False,
) -> None:
    """Take what stands before the command."""


@cli.command("run")
def run_worker() -> None:
    """Be a worker until SIGTERM."""
    from jetworker.cli import run as app
    from jetworker.runtime import logs

    config = settings.load(os.environ)
    logs.configure(config.log.level, config.log.format)
    asyncio.run(app.run(config, os.environ))


@cli.command()
def demo(
    *,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave it running, to play with.")
    ] = False,
) -> None:
    """Run everything on this machine and account for every command."""
    from jetworker.cli.demo import demo as show

    raise typer.Exit(asyncio.run(show.run(keep=keep)))


@cli.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)
def sandbox(context: typer.Context) -> None:
    """Serve Jet's API over local folders; --help says how."""
    from jetworker.sandbox.__main__ import main

    raise typer.Exit(main(context.args) or OK)


@cli.command()
def send(
    route: str,
    paths: Annotated[
        list[str], typer.Argument(help="From the source's root; a folder ends in /.")
    ],
    *,
    command_id: Annotated[str | None, typer.Option("--id")] = None,
    metadata: Annotated[
        Any, typer.Option(help="A JSON object.", parser=json.loads, metavar="JSON")
    ] = None,
    expires_at: Annotated[str | None, typer.Option(help="RFC 3339.")] = None,
    sizes: Annotated[
        list[int] | None,
        typer.Option("--size", min=0, help="Bytes of a file, once for each."),
    ] = None,
    stat: Annotated[
        Path | None,
        typer.Option(help="Read the files' sizes below FOLDER.", metavar="FOLDER"),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it to its end.")] = False,
    as_json: Json = False,
) -> None:
    """Publish a command."""
    from jetworker.cli import publish

    try:
        objects = publish.objects(paths, sizes or (), stat)
    except JetworkerError as exc:
        _fail(str(exc), REJECTED)
    fields = publish.fields(route, objects, command_id, metadata, expires_at)
    _leave(publish.send(_load_config(), fields, wait=wait, as_json=as_json))


@cli.command()
def watch(
    command_id: Annotated[str | None, typer.Argument()] = None,
    *,
    as_json: Json = False,
) -> None:
    """Follow events: progress bars on a terminal, NDJSON otherwise."""
    from jetworker.cli import watch as watching

    _leave(watching.watch(_load_config(), command_id, as_json=as_json))


@cli.command()
def check() -> None:
    """Check settings, routes, Kafka, topics, token and jobs."""
    from jetworker.cli import check as checking

    _leave(checking.check(os.environ))


@cli.command()
def explain(command_id: CommandIdArgument) -> None:
    """Say where a command is, why, since when, and what happens next."""
    from jetworker.cli import explain as explaining

    _leave(explaining.explain(_load_config(), command_id))


@cli.command()
def cancel(command_id: CommandIdArgument, *, as_json: Json = False) -> None:
    """Cancel a command that has not been started."""
    from jetworker.cli import publish

    fields = {"commandId": command_id, "type": "cancel"}
    _leave(publish.order(_load_config(), fields, as_json=as_json))


@cli.command()
def resolve(
    command_id: CommandIdArgument,
    action: Annotated[str, typer.Argument(metavar="adopt|resend|abandon")],
    delivery_id: Annotated[
        str | None, typer.Option("--delivery-id", help="With adopt.")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Decide about a held command."""
    from jetworker.cli import publish

    fields: dict[str, Any] = {
        "commandId": command_id,
        "type": "resolve",
        "action": action,
    }
    if delivery_id is not None:
        fields["deliveryId"] = delivery_id
    _leave(publish.order(_load_config(), fields, as_json=as_json))


@cli.command()
def audit(
    seconds: Annotated[
        float, typer.Option(help="How long a commit may still be on its way.")
    ] = 5.0,
    sandbox: Annotated[
        str | None, typer.Option(help="URL of a sandbox whose ledger is judged too.")
    ] = None,
) -> None:
    """Judge the guarantees from what the topics hold."""
    from jetworker.cli import audit as auditing

    _leave(auditing.audit(_load_config(), seconds, sandbox))


@cli.command()
def schemas(folder: Annotated[Path, typer.Argument(metavar="DIR")]) -> None:
    """Write the JSON Schemas and the AsyncAPI document."""
    from jetworker.cli import schemas as writing

    for written in writing.write(folder):
        typer.echo(written)


@topics_cli.command("create")
def topics_create(
    partitions: Annotated[int, typer.Option(min=1)] = 6,
    replication_factor: Annotated[
        int | None, typer.Option(min=1, help="Default: 3, or as many as brokers.")
    ] = None,
) -> None:
    """Make the topics that are missing."""
    from jetworker.kafka import topics

    made = topics.create(
        _load_config(), partitions=partitions, replication=replication_factor
    )
    for line in asyncio.run(made):
        typer.echo(line)


@profiles_cli.command("list")
def profiles_list(*, as_json: Json = False) -> None:
    """List the storage profiles."""
    from jetworker.cli import jobs

    _leave(jobs.list_profiles(_load_config(), os.environ, as_json=as_json))


@jobs_cli.command("list")
def jobs_list(*, as_json: Json = False) -> None:
    """List the jobs."""
    from jetworker.cli import jobs

    _leave(jobs.list_jobs(_load_config(), os.environ, as_json=as_json))


@jobs_cli.command("create")
def jobs_create(
    name: str, source: str, destination: str, *, as_json: Json = False
) -> None:
    """Create a manual job between two storage profiles, by id or name."""
    from jetworker.cli import jobs

    between = source, destination
    config = _load_config()
    _leave(jobs.create_job(config, os.environ, name, between, as_json=as_json))


@jobs_cli.command("pause")
def jobs_pause(job: JobArgument, *, as_json: Json = False) -> None:
    """Pause a job."""
    _set_paused(job, paused=True, as_json=as_json)


@jobs_cli.command("resume")
def jobs_resume(job: JobArgument, *, as_json: Json = False) -> None:
    """Resume a paused job."""
    _set_paused(job, paused=False, as_json=as_json)


def _set_paused(job: str, *, paused: bool, as_json: bool) -> NoReturn:
    from jetworker.cli import jobs

    config = _load_config()
    _leave(jobs.set_paused(config, os.environ, job, paused=paused, as_json=as_json))


def _load_config() -> Config:
    """Read the settings; raises ConfigurationError."""
    from jetworker.runtime import logs

    config = settings.load(os.environ)
    logs.configure("WARNING", "console")
    return config


def _leave(coroutine: Coroutine[Any, Any, int]) -> NoReturn:
    """Run a command and leave with its exit code; Ctrl-C is no error."""
    try:
        code = asyncio.run(coroutine)
    except KeyboardInterrupt:
        code = OK
    raise typer.Exit(code)


def _fail(message: str, code: int) -> NoReturn:
    """Say what went wrong in one line on stderr, and leave."""
    sys.stderr.write(f"jetworker: {message}\n")
    raise SystemExit(code)
