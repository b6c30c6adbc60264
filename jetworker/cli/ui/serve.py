"""The composition root of `jetworker ui`: follows, serves, and stops with a signal."""

import asyncio
import signal
import sys
from collections.abc import Mapping

import structlog

from jetworker.cli.exit_codes import OK
from jetworker.cli.listening import Address
from jetworker.cli.ui.door import Options, is_loopback
from jetworker.cli.ui.follow import TopicsFollower
from jetworker.cli.ui.orders import Publisher
from jetworker.cli.ui.server import UiServer
from jetworker.config.model import Config
from jetworker.runtime.clock import Clock

log = structlog.get_logger()


async def serve(config: Config, environ: Mapping[str, str], options: Options) -> int:
    """Serve the page until SIGTERM or SIGINT; raises ConfigurationError."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    follower = TopicsFollower(config)
    publisher = Publisher(config, environ)
    server = UiServer(
        config, follower.seen, follower.records, publisher, options, Clock()
    )
    try:
        port = await server.start()
    except (OSError, UnicodeError) as exc:
        raise Address(options.host, options.port).unusable(exc) from exc
    if not is_loopback(options.host) and not options.user_header:
        log.warning(
            "the page can be reached from other machines and asks nobody who they are:"
            " put it behind a proxy that does, and name its header by --user-header",
            host=options.host,
        )
    sys.stdout.write(f"http://{_shown(options.host)}:{port}\n")
    sys.stdout.flush()
    following = asyncio.create_task(follower.run())
    asked = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait([following, asked], return_when=asyncio.FIRST_COMPLETED)
        if following.done():
            await following  # a defect of ours: it ends with its traceback
    finally:
        for task in (following, asked):
            task.cancel()
        await asyncio.gather(following, asked, return_exceptions=True)
        await server.stop()
    return OK


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
