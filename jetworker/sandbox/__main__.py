"""`jetworker sandbox` and `python -m jetworker.sandbox`."""

import argparse
import asyncio
import errno
import signal
import socket
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from jetworker.sandbox.jet import tuning
from jetworker.sandbox.jet.refusal import Refused
from jetworker.sandbox.jet.server import serve
from jetworker.sandbox.jet.settings import JobSeed, SandboxSettings, Tuning

_SECRET = "demo-secret"  # noqa: S105 -- no secret: whoever asks is told it
_LAST_PORT = 65535


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve Jet's API over local folders until SIGTERM; returns the exit code."""
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        settings = _settings(given)
        asyncio.run(_serve(settings, is_secret=given.client_secret != _SECRET))
    except (ValueError, Refused) as exc:
        is_host = isinstance(exc, UnicodeError)  # no name by the rules of the network
        said = f"--host: {given.host} cannot be used: no name" if is_host else exc
        parser.exit(2, f"jetworker sandbox: {said}\n")
    except OSError as exc:
        parser.exit(1, f"jetworker sandbox: {_in_words(exc, given)}\n")
    return 0


def _in_words(exc: OSError, given: argparse.Namespace) -> str:
    """Say which option the system could not do, and what to do."""
    if exc.errno == errno.EADDRINUSE:
        return (
            f"--port: {given.port} cannot be used: something listens there on"
            f" {given.host} already, stop it or give another port"
        )
    if isinstance(exc, socket.gaierror) or exc.errno == errno.EADDRNOTAVAIL:
        return f"--host: {given.host} cannot be used: {exc.strerror}"
    return str(exc)


async def _serve(settings: SandboxSettings, *, is_secret: bool) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    secret = "the one that was given" if is_secret else settings.client_secret

    def ready(base_url: str) -> None:
        sys.stdout.write(f"sandbox ready {base_url}\n")
        sys.stdout.write(f"client id {settings.client_id}, client secret {secret}\n")
        sys.stdout.flush()

    await serve(settings, stopping, ready)


def _settings(given: argparse.Namespace) -> SandboxSettings:
    profiles = {name: Path(path) for name, path in map(_pair, given.profile)}
    for name, folder in profiles.items():
        if not folder.is_dir():
            msg = f"--profile {name}: {folder} is not a folder"
            raise ValueError(msg)
    tuned = {
        "bandwidth": given.bandwidth,
        "batch_size": given.batch_size,
        "virtual_seconds": given.virtual_seconds,
    }
    if not 0 <= given.port <= _LAST_PORT:
        msg = f"--port: {given.port} is no port, 0 to {_LAST_PORT}"
        raise ValueError(msg)
    return SandboxSettings(
        profiles=profiles,
        jobs=tuple(_job(text) for text in given.job),
        host=given.host,
        port=given.port,
        data=given.data,
        client_id=given.client_id,
        client_secret=given.client_secret,
        token_lifetime=timedelta(seconds=given.token_lifetime),
        seed=given.seed,
        tuning=tuning.decode(tuned, Tuning()),
    )


def _pair(text: str) -> tuple[str, str]:
    name, _, rest = text.partition("=")
    if not name or not rest:
        msg = f"{text!r}: write NAME=..."
        raise ValueError(msg)
    return name, rest


def _job(text: str) -> JobSeed:
    """Read `name=Source:Destination[:growing idle seconds]`."""
    name, rest = _pair(text)
    source, _, more = rest.partition(":")
    destination, _, idle = more.partition(":")
    if not destination:
        msg = f"--job {text!r}: write NAME=SOURCE:DESTINATION"
        raise ValueError(msg)
    return JobSeed(name, source, destination, float(idle) if idle else None)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "jetworker sandbox", description="Signiant Jet's API over local folders."
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=8090, help="0: any free port")
    add("--profile", action="append", default=[], metavar="NAME=FOLDER")
    add("--job", action="append", default=[], metavar="NAME=SOURCE:DESTINATION[:IDLE]")
    add("--data", type=Path, metavar="DIR", help="survive a restart")
    add("--client-id", default="demo")
    add("--client-secret", default=_SECRET)
    add("--token-lifetime", type=float, default=3600.0, metavar="SECONDS")
    add("--bandwidth", type=int, metavar="BYTES_PER_SECOND", help="of each job")
    add("--batch-size", type=int, default=100, metavar="OBJECTS")
    add("--virtual-seconds", type=float, help="copy nothing, take so long")
    add("--seed", type=int, help="make the probabilities of faults repeatable")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
