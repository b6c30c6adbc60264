"""The command line: every command's arguments, help and exit code."""

import logging
import os
from collections.abc import Coroutine, Iterable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from jetworker.cli.exit_codes import CONFIGURATION, FAILED, OK, REJECTED
from jetworker.core.command import Rejection
from jetworker.core.errors import ConfigurationError, JetworkerError
from jetworker.wire.listed_state import ListedState

if TYPE_CHECKING:  # a command imports only what it needs: --help is quick
    from jetworker.cli.listing import Selection
    from jetworker.cli.orders import Order
    from jetworker.config.model import Config
    from jetworker.wire.dead_letters import Position

cli = typer.Typer(
    name="jetworker",
    help="Moves files with Signiant Jet when a Kafka message says so.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
topics_cli = typer.Typer(help="The topics.", no_args_is_help=True)
jobs_cli = typer.Typer(help="Jet's manual jobs.", no_args_is_help=True)
letters_cli = typer.Typer(help="What was parked, and why.", no_args_is_help=True)
profiles_cli = typer.Typer(help="Jet's storage profiles.", no_args_is_help=True)
cli.add_typer(topics_cli, name="topics")
cli.add_typer(letters_cli, name="dead-letters")
state_cli = typer.Typer(help="What the worker remembers.", no_args_is_help=True)
cli.add_typer(state_cli, name="state")
cli.add_typer(jobs_cli, name="jobs")
cli.add_typer(profiles_cli, name="profiles")

CommandIdArgument = Annotated[str, typer.Argument(metavar="COMMAND_ID")]
JobArgument = Annotated[str, typer.Argument(help="Its id or name.")]
PositionArgument = Annotated[str, typer.Argument(metavar="PARTITION:OFFSET")]
StateOption = Annotated[ListedState | None, typer.Option("--state")]
RouteOption = Annotated[str | None, typer.Option("--route")]
SinceOption = Annotated[
    str | None, typer.Option("--since", help="A duration, as 24h.", metavar="D")
]
ReasonOption = Annotated[Rejection | None, typer.Option("--reason", help="Its code.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what, and do nothing.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def _json(text: str) -> Any:
    """Read JSON as a worker does; raises ValueError."""
    from jetworker.wire import strict_json

    return strict_json.loads(text.encode())


def run() -> None:
    """Run a command; what goes wrong is one line on stderr and an exit code."""
    try:
        cli()
    except ConfigurationError as exc:
        _fail(f"configuration: {exc}", CONFIGURATION)
    except JetworkerError as exc:
        _fail(str(exc), FAILED)


def _tell_version(wanted: bool) -> None:  # noqa: FBT001 -- typer's callback
    from importlib.metadata import version

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
    import asyncio

    from jetworker.cli import run as app
    from jetworker.config import load as settings
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
    import asyncio

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
        Any, typer.Option(help="A JSON object.", parser=_json, metavar="JSON")
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

    watched = watching.watch(_load_config(), command_id, as_json=as_json)
    _leave(watched, has_end=command_id is not None)


@cli.command()
def check(
    *,
    offline: Annotated[
        bool, typer.Option("--offline", help="Settings and routes alone.")
    ] = False,
    as_json: Json = False,
) -> None:
    """
    Check settings, routes, Kafka, topics, token and jobs.

    Each is a line: ok, or what to do. It ends with 78 if any is not ok, also where Kafka or
    Jet only does not answer: the line says so, and a worker would wait for it.
    """
    from jetworker.cli import check as checking

    _leave(checking.check(os.environ, offline=offline, as_json=as_json))


@cli.command()
def explain(command_id: CommandIdArgument, *, as_json: Json = False) -> None:
    """Say where a command is, why, since when, and what happens next."""
    from jetworker.cli import explain as explaining

    _leave(explaining.explain(_load_config(), command_id, as_json=as_json))


@cli.command("list")
def list_commands(
    *,
    state: StateOption = None,
    route: RouteOption = None,
    since: SinceOption = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="So many, the oldest change first.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the commands of all partitions, ended ones of the dedupe window too."""
    from jetworker.cli import listing

    selection = _selection(state, route, since)
    _leave(listing.list_commands(_load_config(), selection, limit, as_json=as_json))


@cli.command()
def cancel(
    command_id: Annotated[str | None, typer.Argument(metavar="COMMAND_ID")] = None,
    *,
    state: StateOption = None,
    route: RouteOption = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Cancel a command that has not been started, or all of a state or a route."""
    from jetworker.cli import orders, publish

    is_bulk = _is_bulk(state, route, dry_run=dry_run, yes=yes)
    if is_bulk is (command_id is not None):
        _fail("give a COMMAND_ID, or --state or --route", REJECTED)
    if is_bulk:
        chosen = _selection(state, route, None)
        _order_all(
            orders.Order("cancel"), chosen, dry_run=dry_run, yes=yes, as_json=as_json
        )
    fields = {"commandId": command_id, "type": "cancel"}
    _leave(publish.order(_load_config(), fields, as_json=as_json))


@cli.command()
def resolve(
    words: Annotated[
        list[str], typer.Argument(metavar="[COMMAND_ID] adopt|resend|abandon")
    ],
    *,
    delivery_id: Annotated[
        str | None, typer.Option("--delivery-id", help="With adopt.")
    ] = None,
    state: StateOption = None,
    route: RouteOption = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Decide about a held command, or about all held ones of a state or a route."""
    from jetworker.cli import orders, publish

    is_bulk = _is_bulk(state, route, dry_run=dry_run, yes=yes)
    *names, action = words
    if is_bulk:
        if names or action not in {"resend", "abandon"} or delivery_id is not None:
            _fail("--state and --route are for resend or abandon of all", REJECTED)
        order = orders.Order("resolve", action)
        chosen = _selection(state, route, None)
        _order_all(order, chosen, dry_run=dry_run, yes=yes, as_json=as_json)
    if len(names) != 1:
        _fail("give a COMMAND_ID and adopt, resend or abandon", REJECTED)
    fields: dict[str, Any] = {
        "commandId": names[0],
        "type": "resolve",
        "action": action,
    }
    if delivery_id is not None:
        fields["deliveryId"] = delivery_id
    _leave(publish.order(_load_config(), fields, as_json=as_json))


def _is_bulk(
    state: ListedState | None, route: str | None, *, dry_run: bool, yes: bool
) -> bool:
    is_bulk = state is not None or route is not None
    if not is_bulk and (dry_run or yes):
        _fail("--dry-run and --yes go with --state or --route", REJECTED)
    return is_bulk


def _order_all(
    order: "Order", chosen: "Selection", *, dry_run: bool, yes: bool, as_json: bool
) -> NoReturn:
    from jetworker.cli import orders

    config = _load_config()
    _leave(
        orders.order_all(
            config, order, chosen, dry_run=dry_run, yes=yes, as_json=as_json
        )
    )


@cli.command()
def resend(
    command_ids: Annotated[list[str], typer.Argument(metavar="COMMAND_ID")],
    *,
    new_id: Annotated[
        str | None, typer.Option("--id", help="Of the new command, if it is one.")
    ] = None,
    failed_only: Annotated[
        bool, typer.Option("--failed-only", help="What Jet's files say has failed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Send the objects of ended commands again, each as a new command."""
    from jetworker.cli import resend as resending

    _leave(
        resending.resend(
            _load_config(),
            os.environ,
            command_ids,
            new_id=new_id,
            failed_only=failed_only,
            as_json=as_json,
        )
    )


@letters_cli.command("list")
def letters_list(
    *,
    reason: ReasonOption = None,
    since: SinceOption = None,
    as_json: Json = False,
) -> None:
    """List the dead letters, and how many there are for each reason."""
    from jetworker.cli import dead_letters

    chosen = dead_letters.Chosen(reason, _duration(since))
    _leave(dead_letters.list_letters(_load_config(), chosen, as_json=as_json))


@letters_cli.command("show")
def letters_show(position: PositionArgument, *, as_json: Json = False) -> None:
    """Show one dead letter, with all that its record had."""
    from jetworker.cli import dead_letters

    (at,) = _positions([position])
    _leave(dead_letters.show(_load_config(), at, as_json=as_json))


@letters_cli.command("replay")
def letters_replay(
    positions: Annotated[
        list[str] | None, typer.Argument(metavar="PARTITION:OFFSET")
    ] = None,
    *,
    reason: ReasonOption = None,
    since: SinceOption = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Publish records again where they were, each once; a mark says that it was done."""
    from jetworker.cli import dead_letters

    at = _positions(positions or ())
    chosen = dead_letters.Chosen(reason, _duration(since), at)
    replayed = dead_letters.replay(
        _load_config(), chosen, dry_run=dry_run, yes=yes, as_json=as_json
    )
    _leave(replayed)


def _selection(
    state: ListedState | None, route: str | None, since: str | None
) -> "Selection":
    from jetworker.cli.listing import Selection

    return Selection(state, route, _duration(since))


def _duration(text: str | None) -> timedelta | None:
    from jetworker.wire import durations

    try:
        return None if text is None else durations.parse(text)
    except ValueError as exc:
        _fail(f"--since: {exc}", REJECTED)


def _positions(texts: Iterable[str]) -> "frozenset[Position]":
    from jetworker.wire.dead_letters import Position

    try:
        return frozenset(map(Position.parse, texts))
    except ValueError as exc:
        _fail(str(exc), REJECTED)


@cli.command()
def audit(
    seconds: Annotated[
        float, typer.Option(help="How long a commit may still be on its way.")
    ] = 5.0,
    sandbox: Annotated[
        str | None, typer.Option(help="URL of a sandbox whose ledger is judged too.")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Judge the guarantees from what the topics hold."""
    from jetworker.cli import audit as auditing

    _leave(auditing.audit(_load_config(), seconds, sandbox, as_json=as_json))


@cli.command()
def schemas(
    words: Annotated[list[str], typer.Argument(metavar="DIR | publish URL")],
    *,
    as_json: Json = False,
) -> None:
    """Write the JSON Schemas and the AsyncAPI document, or register with a registry."""
    from jetworker.cli import registry
    from jetworker.cli import schemas as writing

    match words:
        case ["publish", url]:
            where = registry.Registry.of(url)
            _leave(registry.publish(where, _load_config().topics, as_json=as_json))
        case ["publish"]:
            _fail("give the URL of the Schema Registry: schemas publish URL", REJECTED)
        case [folder]:
            writing.tell(writing.write(Path(folder)), as_json=as_json)
        case _:
            _fail("give a DIR, or publish and a URL", REJECTED)


@cli.command()
def ui(
    *,
    host: Annotated[str, typer.Option(help="Where it listens.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8090,
    allow_actions: Annotated[
        bool,
        typer.Option(
            "--allow-actions",
            help="Let the page resolve, cancel, send again and replay dead letters.",
        ),
    ] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="A further name that it is reached by, as behind a proxy.",
            metavar="NAME",
        ),
    ] = None,
    user_header: Annotated[
        str,
        typer.Option(
            help="The header in which an authenticating proxy says who asks.",
            metavar="HEADER",
        ),
    ] = "",
) -> None:
    """Serve a page over the whole installation, from the topics alone."""
    from jetworker.cli.ui.door import Options
    from jetworker.cli.ui.serve import serve
    from jetworker.config import load as settings
    from jetworker.runtime import logs

    config = settings.load(os.environ)
    logs.configure(config.log.level, config.log.format)
    names = tuple(each.lower() for each in allow_host or ())
    options = Options(host, port, names, user_header, allow_actions)
    _leave(serve(config, os.environ, options))


@topics_cli.command("create")
def topics_create(
    partitions: Annotated[int, typer.Option(min=1)] = 6,
    replication_factor: Annotated[
        int | None, typer.Option(min=1, help="Default: 3, or as many as brokers.")
    ] = None,
    *,
    as_json: Json = False,
    accept_loss: Annotated[
        bool,
        typer.Option(
            "--accept-loss",
            help="Make a state topic that is gone anew, and remember nothing.",
        ),
    ] = False,
) -> None:
    """Make the topics that are missing."""
    from jetworker.cli import topics

    config, copies = _load_config(), replication_factor
    _leave(
        topics.create(
            config, partitions, copies, as_json=as_json, is_loss_accepted=accept_loss
        )
    )


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


@jobs_cli.command("observe")
def jobs_observe(
    route: str,
    for_: Annotated[
        str, typer.Option("--for", help="Go on looking for so long, as 2m.")
    ] = "0s",
    *,
    as_json: Json = False,
) -> None:
    """Measure what Jet shows of a route's job, and what that means for a lost start."""
    from jetworker.cli import observe

    config, seconds = _load_config(), _seconds(for_)
    _leave(observe.observe(config, os.environ, route, seconds, as_json=as_json))


def _seconds(text: str) -> float:
    from jetworker.wire.durations import parse

    try:
        return parse(text).total_seconds()
    except ValueError as exc:
        raise typer.BadParameter(str(exc), param_hint="--for") from exc


@jobs_cli.command("pause")
def jobs_pause(job: JobArgument, *, as_json: Json = False) -> None:
    """Pause a job."""
    _set_paused(job, paused=True, as_json=as_json)


@jobs_cli.command("resume")
def jobs_resume(job: JobArgument, *, as_json: Json = False) -> None:
    """Resume a paused job."""
    _set_paused(job, paused=False, as_json=as_json)


@jobs_cli.command("unsubscribe")
def jobs_unsubscribe(
    route: Annotated[
        str | None, typer.Argument(help="Of its job alone; else of all jobs.")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Remove Jet's subscriptions to our URL; first take notifications out of the routes."""
    from jetworker.cli import jobs

    _leave(jobs.unsubscribe(_load_config(), os.environ, route, as_json=as_json))


def _set_paused(job: str, *, paused: bool, as_json: bool) -> NoReturn:
    from jetworker.cli import jobs

    config = _load_config()
    _leave(jobs.set_paused(config, os.environ, job, paused=paused, as_json=as_json))


def _load_config() -> "Config":
    """Read the settings; raises ConfigurationError."""
    from jetworker.config import load as settings
    from jetworker.runtime import logs

    config = settings.load(os.environ)
    logs.configure("WARNING", "console")
    # The command itself says that Kafka does not answer, and at which address.
    logging.getLogger("aiokafka").addFilter(logs.without("Unable connect to"))
    return config


def _leave(coroutine: Coroutine[Any, Any, int], *, has_end: bool = True) -> NoReturn:
    """Run a command and leave with its exit code, whatever Ctrl-C makes of it."""
    from jetworker.cli.interrupt import run_until_interrupted

    raise typer.Exit(run_until_interrupted(coroutine, has_end=has_end))


def _fail(message: str, code: int) -> NoReturn:
    """Say what went wrong in one line on stderr, and leave."""
    from jetworker.cli import output

    output.remark(message)
    raise SystemExit(code)


@state_cli.command("rebuild")
def state_rebuild(
    *, dry_run: DryRun = False, yes: Yes = False, as_json: Json = False
) -> None:
    """Make lost state partitions anew from commands and events; stop workers first."""
    from jetworker.cli import rebuild

    config = _load_config()
    _leave(rebuild.run(config, dry_run=dry_run, is_agreed=yes, as_json=as_json))
