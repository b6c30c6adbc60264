"""The loops of a worker end together: none ends alone without a word."""

import asyncio
import socket
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from jetworker.cli.run import _listen, _notified, work
from jetworker.config.model import Config
from jetworker.core.errors import ConfigurationError, LoopEnded
from jetworker.http.server import HttpServer
from jetworker.runtime.metrics import Metrics
from jetworker.worker.assembly import Parts
from tests.support.waiting import PATIENCE


async def until_stopped(stopping: asyncio.Event) -> None:
    await stopping.wait()


async def for_ever(*_: Any) -> None:
    await asyncio.Event().wait()


async def cancelled_by_itself(*_: Any) -> None:
    raise asyncio.CancelledError


def parts(worker: Any = until_stopped, starter: Any = for_ever) -> Parts:
    def services() -> dict[str, Coroutine[Any, Any, None]]:
        return {"starter": starter()}

    made = SimpleNamespace(
        services=services,
        route_table=SimpleNamespace(run=for_ever),
        watchdog=SimpleNamespace(run=for_ever),
        worker=SimpleNamespace(run=worker),
    )
    return cast("Parts", made)


CONFIG = cast(
    "Config",
    SimpleNamespace(
        shutdown=SimpleNamespace(
            timeout=SimpleNamespace(total_seconds=lambda: 10.0),
        )
    ),
)


@pytest.mark.parametrize(
    ("made", "name"),
    [
        (parts(worker=cancelled_by_itself), "worker"),
        (parts(starter=cancelled_by_itself), "starter"),
    ],
)
async def test_a_loop_that_ends_before_the_stop_ends_the_process(
    made: Parts, name: str
) -> None:
    with pytest.raises(ExceptionGroup) as raised:
        await asyncio.wait_for(work(made, asyncio.Event(), CONFIG), PATIENCE)

    (error,) = raised.value.exceptions
    assert isinstance(error, LoopEnded)
    assert str(error) == f"ended by itself, which is a defect: {name}"


async def test_after_the_stop_all_loops_end_quietly() -> None:
    stopping = asyncio.Event()
    working = asyncio.create_task(work(parts(), stopping, CONFIG))
    await asyncio.sleep(0)
    stopping.set()

    await asyncio.wait_for(working, PATIENCE)


@pytest.mark.parametrize("host", ["0.0.0..0", "name." + "x" * 64])
async def test_a_host_that_is_no_name_at_all_is_named(host: str) -> None:
    """Python says so by an error of its encodings, and not of its sockets."""
    config = cast("Config", SimpleNamespace(http=SimpleNamespace(host=host, port=0)))
    probes = HttpServer(cast("Any", _Facts()), CollectorRegistry())

    with pytest.raises(ConfigurationError) as caught:
        await _listen(probes, config)
    await probes.stop()

    assert str(caught.value) == f"JETWORKER_HTTP__HOST: {host} cannot be used: no name"


async def test_a_port_that_is_taken_is_named_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        http = SimpleNamespace(host="127.0.0.1", port=port)
        secret = SecretStr("s" * 16)
        given = SimpleNamespace(port=port, secret=secret)
        config = cast("Config", SimpleNamespace(http=http, notifications=given))
        probes = HttpServer(cast("Any", _Facts()), CollectorRegistry())
        deaf = cast("Parts", SimpleNamespace(follower=_Facts(), hint=_Facts.ready))
        metrics = Metrics(CollectorRegistry())

        with pytest.raises(ConfigurationError) as of_probes:
            await _listen(probes, config)
        with pytest.raises(ConfigurationError) as of_notifications:
            async with _notified(config, deaf, metrics):
                pass
        await probes.stop()

    why = (
        f"{port} cannot be used: something listens there on 127.0.0.1 already, stop it or"
        " give another port"
    )
    assert str(of_probes.value) == f"JETWORKER_HTTP__PORT: {why}"
    assert str(of_notifications.value) == f"JETWORKER_NOTIFICATIONS__PORT: {why}"


class _Facts:
    live = ready = miss_notification = dict
