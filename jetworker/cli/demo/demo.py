"""
`jetworker demo`: the whole system on this machine, and an account of every command.

A real Kafka, a Jet sandbox that copies real files, two workers, commands over three
routes; a duplicate, an invalid one, a paused job, a failing object, a growing file; one
worker is killed on the way and replaced. What is printed at the end is computed from
the topics and the sandbox's ledger, not from what the demo meant to do.
"""

import asyncio
import json
import os
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import yaml
from aiokafka import AIOKafkaProducer
from rich.live import Live
from rich.table import Table

from jetworker.cli import output
from jetworker.cli.demo.account import Account, account, compare
from jetworker.cli.demo.operator import decide_held
from jetworker.cli.demo.script import Script, grow, prepare
from jetworker.cli.demo.stage import Process, Stage, environment, follow
from jetworker.cli.exit_codes import FAILED, OK
from jetworker.config import load as settings
from jetworker.config.model import Config
from jetworker.core.errors import JetworkerError
from jetworker.kafka import topics
from jetworker.kafka.sign_in import client_options
from jetworker.runtime import logs
from jetworker.sandbox.jet.server import Sandbox
from jetworker.sandbox.jet.settings import JobSeed, SandboxSettings, Tuning
from jetworker.sandbox.kafka.broker import EmbeddedKafka
from jetworker.wire.events import ReadEvent

_PATIENCE = 75.0  # seconds


async def run(*, keep: bool) -> int:
    """Show it; 0 only if every command is accounted for."""
    logs.configure("ERROR", "console")
    console = output.console()
    try:
        with tempfile.TemporaryDirectory(prefix="jetworker-demo-") as folder:
            return await _show(console, Path(folder), keep=keep)
    except JetworkerError as exc:
        output.remark(f"the demo could not run: {exc}")
        return FAILED


async def _show(console: output.Console, folder: Path, *, keep: bool) -> int:
    began = time.monotonic()
    script = prepare(folder)
    console.print("starting a real Apache Kafka ...")
    with EmbeddedKafka(folder / "kafka") as kafka:
        async with AsyncExitStack() as stack:
            sandbox = await stack.enter_async_context(_sandbox(script))
            environ = environment(folder, kafka.bootstrap_servers, sandbox)
            config = settings.load(environ)
            await topics.create(config, partitions=6, replication=1)
            stage = await stack.enter_async_context(Stage(folder, environ))
            first, _ = await stage.start(), await stage.start()
            console.print(f"ready after {time.monotonic() - began:.1f} s")
            events, takeover = await _play(
                console, config, script, stage, sandbox, first
            )
            result = await account(config, sandbox, script, events, takeover)
            _print(console, result, compare(script), time.monotonic() - began)
            if keep:
                await _keep(folder, environ, stage.pages())
            return OK if result.adds_up and not compare(script) else FAILED


def _sandbox(script: Script) -> Sandbox:
    profiles = {"London": script.source, "Paris": script.destination}
    jobs = (
        JobSeed("london-to-paris", "London", "Paris"),
        JobSeed("growing", "London", "Paris", 1.0),
        JobSeed("vault", "London", "Paris"),
    )
    tuning = Tuning(bandwidth=60_000_000, batch_size=20)
    return Sandbox(SandboxSettings(profiles, jobs, tuning=tuning))


async def _play(
    console: output.Console,
    config: Config,
    script: Script,
    stage: Stage,
    sandbox: Sandbox,
    victim: Process,
) -> tuple[list[ReadEvent], float]:
    """Publish, pause, kill, resume; returns all events and the takeover's seconds."""
    events: list[ReadEvent] = []
    listening = asyncio.Event()
    following = asyncio.create_task(follow(config, events, listening))
    drawing = asyncio.create_task(_draw(console, script, events))
    growing = asyncio.create_task(grow(script))
    deciding = asyncio.create_task(
        decide_held(script, sandbox, events, partial(_publish, config))
    )
    try:
        await listening.wait()
        await stage.set_paused("vault", paused=True)
        await _publish(config, script.commands + script.oddities)
        await _until(lambda: _ended(events) >= len(script.commands) // 4)
        victim.kill()
        killed = time.monotonic()
        await stage.start()
        await stage.set_paused("vault", paused=False)
        await _until(lambda: _ended(events) >= len(script.commands))
        takeover = stage.restored_at(killed)
        await asyncio.sleep(0.5)  # for an event too many, were there one
    finally:
        beside = (following, drawing, growing, deciding)
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
    return events, takeover


async def _publish(config: Config, commands: list[bytes]) -> None:
    if not commands:
        return
    producer = AIOKafkaProducer(**client_options(config.kafka))
    await producer.start()
    try:
        for value in commands:
            await producer.send(config.topics.commands, value, _key(value))
        await producer.flush()
    finally:
        await producer.stop()


def _key(value: bytes) -> bytes:
    try:
        return str(json.loads(value)["commandId"]).encode()
    except (ValueError, KeyError, TypeError):
        return b"unreadable"


def _ended(events: list[ReadEvent]) -> int:
    ends = {"delivery.completed", "delivery.failed", "delivery.cancelled"}
    return sum(1 for event in events if event.kind in ends)


async def _until(claim: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not claim():
        if time.monotonic() > deadline:
            return  # the account says what is missing
        await asyncio.sleep(0.05)


async def _draw(
    console: output.Console, script: Script, events: list[ReadEvent]
) -> None:
    """Draw the states as they change: a live table, or plain lines."""
    if not console.is_terminal:
        told = 0
        while True:
            await asyncio.sleep(2)
            if len(events) != told:
                told = len(events)
                ended, all_of_them = _ended(events), len(script.commands)
                console.print(f"{ended} of {all_of_them} ended, {told} events")
    with Live(console=console, refresh_per_second=8) as live:
        while True:
            live.update(_table(script, events))
            await asyncio.sleep(0.15)


def _table(script: Script, events: list[ReadEvent]) -> Table:
    last: dict[str, ReadEvent] = {}
    for event in events:
        if event.command_id and event.kind.startswith("delivery."):
            last[event.command_id] = event
    table = Table(title=f"{len(script.commands)} commands, {len(events)} events")
    for column in ("command", "route", "state", "progress"):
        table.add_column(column)
    running = [e for e in last.values() if e.data["state"] != "completed"]
    for event in running[-18:]:
        data = event.data
        moved = ((data["progress"] or {}).get("transferred") or {}).get("bytes", 0)
        total = data["requested"]["bytes"] or 0
        bar = "█" * (20 * moved // total) if total else ""
        state = data["state"] + (f" {data['reason']['code']}" if data["reason"] else "")
        table.add_row(event.command_id, data["route"], state, bar)
    return table


def _print(
    console: output.Console, result: Account, differing: list[str], seconds: float
) -> None:
    for name, value in result.lines():
        console.print(f"{name:<28} {value}")
    console.print(f"{'files that differ':<28} {len(differing)}")
    for path in differing[:5]:
        console.print(f"  {path}", style="red")
    verdict = (
        "it all adds up" if result.adds_up and not differing else "IT DOES NOT ADD UP"
    )
    console.print(f"{verdict}, after {seconds:.0f} s")


async def _keep(folder: Path, environ: dict[str, str], pages: list[str]) -> None:
    """Say how to play with it, and go on until Ctrl-C."""
    output.verbatim("\nit goes on running; its workers' status pages:\n")
    for page in pages:
        output.say(page)
    output.verbatim("\nin another terminal, each line as it is:\n")
    for command in _commands(folder, environ):
        output.say(command)
    output.verbatim("\nor, for a shell of your own:\n")
    for export in _exports(environ):
        output.say(export)
    output.verbatim("\nCtrl-C ends it")
    ending = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    await ending.wait()
    output.say("ending the workers, the sandbox and Kafka ...")


def _commands(folder: Path, environ: dict[str, str]) -> list[str]:
    """Return commands that need nothing of the shell: the settings are in a file."""
    config = folder / "settings.yaml"
    config.write_text(yaml.safe_dump(_tree(environ)))
    config.chmod(0o600)
    settings_of = f"JETWORKER_CONFIG={shlex.quote(str(config))}"
    program = " ".join(map(shlex.quote, _program()))
    tried = (
        "send london-to-paris /large-0.bin --wait",
        "list --state failed",
        "explain half",
        "check",
        "watch",
    )
    return [f"{settings_of} {program} {each}" for each in tried]


def _program() -> list[str]:
    """Return how this program was called, wherever a shell may stand."""
    beside = Path(sys.executable).with_name("jetworker")
    return [str(beside)] if beside.exists() else [sys.executable, "-m", "jetworker"]


def _tree(environ: dict[str, str]) -> dict[str, object]:
    """Return the settings as the file of settings has them."""
    tree: dict[str, dict[str, str] | str] = {}
    for name, value in _settings(environ).items():
        section, _, key = name.removeprefix("JETWORKER_").lower().partition("__")
        if not key:
            tree[section] = value
            continue
        below = tree.setdefault(section, {})
        assert isinstance(below, dict)
        below[key] = value
    return {**tree}


def _exports(environ: dict[str, str]) -> list[str]:
    program = Path(_program()[0]).parent
    return [
        f"export {name}={shlex.quote(value)}"
        for name, value in _settings(environ).items()
    ] + [f"export PATH={shlex.quote(str(program))}{os.pathsep}$PATH"]


def _settings(environ: dict[str, str]) -> dict[str, str]:
    return {n: value for n, value in environ.items() if n.startswith("JETWORKER_")}
