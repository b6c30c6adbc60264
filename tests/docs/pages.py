"""
The reference pages under `docs/`, made from what they describe: `make docs` writes them.

Settings from the model, metrics from the registry, commands from typer, events and their
reason codes from the enumerations. What to do about a code is said here, for every code.
"""

import sys
from collections.abc import Iterator
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer
from prometheus_client import CollectorRegistry
from pydantic import BaseModel, ByteSize
from pydantic_core import PydanticUndefined

from jetworker.cli.main import cli
from jetworker.config.load import PREFIX
from jetworker.config.model import Config
from jetworker.core.command import Rejection
from jetworker.core.delivery import EventType, ReasonCode
from jetworker.runtime.metrics import Metrics
from tests.docs.plot import svg

DOCS = Path(__file__).parents[2] / "docs"
_MADE = "<!-- made by `make docs`: change what it describes, not this page -->\n"

EVENTS = {
    EventType.ACCEPTED: "Always the first; nothing is to be done.",
    EventType.WAITING: (
        "It cannot start yet; `reason` says why. Told once per reason, and not when it is"
        " over: then it waits for its turn."
    ),
    EventType.UNCERTAIN: "A start was sent and nobody knows whether Jet has it.",
    EventType.STARTED: "Jet has the delivery; `deliveryId` is known.",
    EventType.PROGRESSED: "Jet's state or counts changed.",
    EventType.COMPLETED: "The end: everything was delivered.",
    EventType.FAILED: "The end: `reason` says why.",
    EventType.CANCELLED: "The end: it was cancelled before it was started.",
    EventType.TRANSFER_PROGRESSED: "A transfer of the delivery changed at Jet.",
    EventType.TRANSFER_COMPLETED: "A transfer has ended well.",
    EventType.TRANSFER_FAILED: "A transfer has failed; the delivery's end decides.",
    EventType.TRANSFER_CANCELLED: "A transfer was cancelled at Jet.",
}
REASONS = {
    ReasonCode.JOB_PAUSED: "`jetworker jobs resume NAME`, or in Jet's console.",
    ReasonCode.ROUTE_PAUSED: "Take `paused: true` out of the routes file.",
    ReasonCode.LIMIT: "Nothing: it starts when a place is free. Else raise `max_active`.",
    ReasonCode.JET_UNAVAILABLE: "Nothing: it starts when Jet answers again.",
    ReasonCode.UNAUTHORIZED: "Repair the client's id, secret or rights at Jet.",
    ReasonCode.JOB_UNAVAILABLE: "Repair the route: the message names what fits no job.",
    ReasonCode.START_UNKNOWN: "Nothing: it is looked up.",
    ReasonCode.HELD: "Look at the job in Jet's console, then `jetworker resolve`.",
    ReasonCode.JET_FAILED: "See why in Jet's console, then send it again.",
    ReasonCode.JET_CANCELLED: "Somebody cancelled it at Jet; send it again if wanted.",
    ReasonCode.OBJECTS_FAILED: "`failedObjects` names some; send those again.",
    ReasonCode.REJECTED_BY_JET: "The message quotes Jet; correct the command.",
    ReasonCode.JOB_NOT_FOUND: "Repair `job_id` in the routes file, then send it again.",
    ReasonCode.EXPIRED: "Send it again if it is still wanted.",
    ReasonCode.DELIVERY_NOT_FOUND: "Jet has lost it: look there, then send it again.",
    ReasonCode.ABANDONED: "An operator decided so.",
    ReasonCode.INTERNAL_ERROR: "A defect of ours: report it with its log line.",
    ReasonCode.DEADLINE_EXCEEDED: "Jet may still be at work: look there first.",
}
REJECTIONS = {
    Rejection.INVALID_JSON: "Publish one JSON object, in UTF-8.",
    Rejection.INVALID_COMMAND: "`errors` names each field and its rule.",
    Rejection.TOO_LARGE: "At most 1 MiB; split it.",
    Rejection.TOO_MANY_OBJECTS: "Split it, or name their folder.",
    Rejection.UNKNOWN_ROUTE: "Add the route to the routes file, or correct its name.",
    Rejection.PATH_NOT_ALLOWED: "The route's `allowed_paths` do not have it.",
    Rejection.EXPIRED: "`expiresAt` had passed when it was read.",
    Rejection.CONFLICT: "Use a new `commandId` for other content.",
    Rejection.UNKNOWN_COMMAND: "Send orders with the key of their command.",
    Rejection.NOT_CANCELLABLE: "It was started: Jet has no way to stop one delivery.",
    Rejection.NOT_HELD: "Nothing is to be decided about it.",
    Rejection.INTERNAL_ERROR: "A defect of ours: report it with its log line.",
    Rejection.NOT_ADOPTABLE: "Name a delivery of that job that no command has.",
}


def pages() -> dict[str, str]:
    """Return every page by its file's name."""
    made = {
        "settings.md": _settings(),
        "metrics.md": _metrics(),
        "cli.md": _commands(),
        "events.md": _events(),
    }
    plot = svg((DOCS / "growth.csv").read_text())
    return {name: f"{_MADE}\n{text}" for name, text in made.items()} | {
        "growth.svg": plot
    }


def _settings() -> str:
    lines = [
        "# Settings\n",
        "Environment, secrets folder (`JETWORKER_SECRETS_DIR`) or YAML file"
        " (`JETWORKER_CONFIG`), in this order.\nDurations: `500ms`, `30s`, `5m`, `24h`,"
        " `7d`, or plain seconds.\n",
    ]
    for title, model, prefix in _parts(Config, PREFIX):
        lines += [f"## {title}\n", f"{(model.__doc__ or '').strip()}\n"]
        lines += ["| variable | default | takes |", "| --- | --- | --- |"]
        for name, field in model.model_fields.items():
            if not _is_part(field.annotation):
                default = _default(field.default)
                takes = _takes(field.annotation)
                lines.append(f"| `{prefix}{name.upper()}` | {default} | {takes} |")
        lines.append("")
    return "\n".join(lines)


def _parts(
    model: type[BaseModel], prefix: str, title: str = "General"
) -> Iterator[tuple[str, type[BaseModel], str]]:
    yield title, model, prefix
    for name, field in model.model_fields.items():
        part: Any = field.annotation
        if _is_part(part):
            yield from _parts(part, f"{prefix}{name.upper()}__", name)


def _is_part(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _default(value: Any) -> str:
    match value:
        case None:
            return "none"
        case _ if value is PydanticUndefined:
            return "required"
        case timedelta():
            return f"`{_duration(value)}`"
        case Enum():
            return f"`{value.value}`"
        case ByteSize():
            return f"`{value.human_readable(separator='')}`".replace(".0", "")
        case bool():
            return f"`{str(value).lower()}`"
        case _:
            return f"`{value}`"


def _duration(value: timedelta) -> str:
    seconds = value.total_seconds()
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length and seconds % length == 0 and (unit, seconds) != ("m", 60):
            return f"{seconds / length:g}{unit}"
    return f"{seconds:g}s"


def _takes(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{each}`" for each in get_args(annotation))
    found = [_takes(each) for each in get_args(annotation) if each is not type(None)]
    if found:
        return next((each for each in found if each), "")
    names = {
        "ByteSize": "a size: `64MiB`, `1GiB`",
        "bool": "`true`, `false`",
        "float": "a number",
        "int": "a whole number",
        "Path": "a path",
        "SecretStr": "a secret",
        "timedelta": "a duration",
    }
    return names.get(getattr(annotation, "__name__", ""), "text")


def _metrics() -> str:
    metrics = Metrics(CollectorRegistry())
    lines = [
        "# Metrics\n",
        "At `/metrics`, as Prometheus and OpenMetrics text. Labels are bounded, and every"
        " series is there\nbefore its first event. Beside these the usual `process_*` and"
        " `python_*`.\n",
        "| metric | type | labels | says |",
        "| --- | --- | --- | --- |",
    ]
    for family in sorted(metrics.registry.collect(), key=lambda each: each.name):
        name = family.name + "_total" * (family.type == "counter")
        metric = getattr(metrics, name.removeprefix("jetworker_"))
        labels = ", ".join(f"`{each}`" for each in metric._labelnames)  # noqa: SLF001 -- theirs tells nobody else
        lines.append(
            f"| `{name}` | {family.type} | {labels} | {family.documentation} |"
        )
    return "\n".join([*lines, ""])


def _commands() -> str:
    root: Any = typer.main.get_command(cli)
    lines = [
        "# Command line\n",
        "Exit codes: 0 done, 1 failed, 2 usage or rejected, 78 configuration. Results go"
        " to stdout, logs and\nremarks to stderr.\n",
    ]
    for path, command in _leaves("jetworker", root):
        context = command.context_class(command)
        usage = " ".join(command.collect_usage_pieces(context))
        lines += [f"## `{path}`\n", f"{_sentence(command.help)}\n"]
        lines += [f"```\n{path} {usage}\n```\n"]
        options = [each for each in command.params if each.param_type_name == "option"]
        if options:
            lines += ["| option | says |", "| --- | --- |"]
            for option in options:
                names = ", ".join(f"`{each}`" for each in option.opts)
                lines.append(f"| {names} | {_sentence(option.help)} |")
            lines.append("")
    return "\n".join(lines)


def _leaves(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    """Yield every command below this one (typer's own kind of click's)."""
    below = getattr(command, "commands", None)
    if below is None:
        yield path, command
        return
    for name in sorted(below):
        yield from _leaves(f"{path} {name}", below[name])


def _sentence(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


def _events() -> str:
    lines = [
        "# Events and reason codes\n",
        "Each type with `io.jetworker.` before it. Codes are an open set: tolerate new"
        " ones.\n",
        "| event | says |",
        "| --- | --- |",
    ]
    lines += [f"| `{kind.value}` | {EVENTS[kind]} |" for kind in EventType]
    lines += [
        "| `command.rejected` | A record was not carried out; it is a dead letter too. |",
        "| `command.duplicate` | The same command came before; nothing is done twice. |",
        "| `command.applied` | A cancel or resolve was carried out. |",
        "\n## Why a delivery waits, is uncertain or failed\n",
        "| `reason.code` | what to do |",
        "| --- | --- |",
    ]
    lines += [f"| `{code.value}` | {REASONS[code]} |" for code in ReasonCode]
    lines += [
        "\n## Why a record was rejected\n",
        "| `reason.code` | what to do |",
        "| --- | --- |",
    ]
    lines += [f"| `{code.value}` | {REJECTIONS[code]} |" for code in Rejection]
    return "\n".join([*lines, ""])


def main() -> None:
    """Write the pages."""
    DOCS.mkdir(exist_ok=True)
    for name, text in pages().items():
        (DOCS / name).write_text(text)
        sys.stdout.write(f"docs/{name}\n")


if __name__ == "__main__":
    main()
