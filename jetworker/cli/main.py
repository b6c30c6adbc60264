"""The command line: argv in, exit code out; thin, one function a command."""

import asyncio
import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from jetworker.cli.cli_jet import jobs_cli, profiles_cli
from jetworker.cli.cli_session import fail, leave, load_config
from jetworker.cli.exit_codes import CONFIGURATION, FAILED, OK
from jetworker.config import load as settings
from jetworker.core.errors import ConfigurationError, JetworkerError

cli = typer.Typer(
    name="jetworker",
    help="Moves files with Signiant Jet when a Kafka message says so.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
topics_cli = typer.Typer(help="The four topics.", no_args_is_help=True)
cli.add_typer(topics_cli, name="topics")
cli.add_typer(jobs_cli, name="jobs")
cli.add_typer(profiles_cli, name="profiles")

CommandIdArgument = Annotated[str, typer.Argument(metavar="COMMAND_ID")]


def run() -> None:
    """Run a command; what goes wrong is one line on stderr and an exit code."""
    try:
        cli()
    except ConfigurationError as exc:
        fail(f"configuration: {exc}", CONFIGURATION)
    except JetworkerError as exc:
        fail(str(exc), FAILED)


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
    wait: Annotated[bool, typer.Option("--wait", help="Follow it to its end.")] = False,
) -> None:
    """Publish a command."""
    from jetworker.cli import publish

    fields = publish.fields(route, paths, command_id, metadata, expires_at)
    leave(publish.send(load_config(), fields, wait=wait))


@cli.command()
def watch(command_id: Annotated[str | None, typer.Argument()] = None) -> None:
    """Follow events: progress bars on a terminal, NDJSON otherwise."""
    from jetworker.cli import watch as watching

    leave(watching.watch(load_config(), command_id))


@cli.command()
def check() -> None:
    """Check settings, routes, Kafka, topics, token and jobs."""
    from jetworker.cli import check as checking

    leave(checking.check(os.environ))


@cli.command()
def explain(command_id: CommandIdArgument) -> None:
    """Say where a command is, why, since when, and what happens next."""
    from jetworker.cli import explain as explaining

    leave(explaining.explain(load_config(), command_id))


@cli.command()
def cancel(command_id: CommandIdArgument) -> None:
    """Cancel a command that has not been started."""
    from jetworker.cli import publish

    fields = {"commandId": command_id, "type": "cancel"}
    leave(publish.order(load_config(), fields))


@cli.command()
def resolve(
    command_id: CommandIdArgument,
    action: Annotated[str, typer.Argument(metavar="adopt|resend|abandon")],
    delivery_id: Annotated[
        str | None, typer.Option("--delivery-id", help="With adopt.")
    ] = None,
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
    leave(publish.order(load_config(), fields))


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

    leave(auditing.audit(load_config(), seconds, sandbox))


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
        load_config(), partitions=partitions, replication=replication_factor
    )
    for line in asyncio.run(made):
        typer.echo(line)
