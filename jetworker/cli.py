"""The command line: argv in, exit code out."""

import asyncio
import os
import sys

from jetworker import app, logs, settings
from jetworker.errors import ConfigurationError


def run() -> None:
    config = settings.load(os.environ)
    logs.configure(config.log.level, config.log.format)
    try:
        asyncio.run(app.run(config, os.environ))
    except ConfigurationError as exc:
        sys.stderr.write(f"{exc}\n")
        sys.exit(78)
