"""What every command does before and after its work: settings, and an exit code."""

import asyncio
import os
import sys
from collections.abc import Coroutine
from typing import Any, NoReturn

import typer

from jetworker.cli.exit_codes import OK
from jetworker.config import load as settings
from jetworker.config.model import Config


def load_config() -> Config:
    """Read the settings; raises ConfigurationError."""
    from jetworker.runtime import logs

    config = settings.load(os.environ)
    logs.configure("WARNING", "console")
    return config


def leave(coroutine: Coroutine[Any, Any, int]) -> NoReturn:
    """Run a command and leave with its exit code; Ctrl-C is no error."""
    try:
        code = asyncio.run(coroutine)
    except KeyboardInterrupt:
        code = OK
    raise typer.Exit(code)


def fail(message: str, code: int) -> NoReturn:
    """Say what went wrong in one line on stderr, and leave."""
    sys.stderr.write(f"jetworker: {message}\n")
    raise SystemExit(code)
