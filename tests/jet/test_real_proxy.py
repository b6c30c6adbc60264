"""A proxy as companies run them: what it refuses was not sent, what it loses is unknown."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from jetworker.config.model import JetConfig
from jetworker.core.command import DeliveryId, JobId, ObjectSpec
from jetworker.core.errors import JetError
from jetworker.core.observation import (
    StartAccepted,
    StartAnswer,
    StartLost,
    StartNotSent,
)
from jetworker.jet.client import JetClient, open_client
from jetworker.runtime.clock import Clock
from jetworker.runtime.metrics import Metrics
from tests.jet.test_start_call import close_after_reading
from tests.jet.test_way import a_config, a_jet
from tests.support.waiting import until

pytestmark = pytest.mark.platform("tinyproxy")


def a_port() -> int:
    """Return a port that is free."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


@asynccontextmanager
async def tinyproxy(folder: Path, port: int, to: int) -> AsyncIterator[None]:
    """Run one that lets CONNECT through to one port only, and knows one user."""
    rules = {
        "Port": port,
        "Listen": "127.0.0.1",
        "Timeout": 60,
        "MaxClients": 20,
        "ConnectPort": to,
        "BasicAuth": "me canary",
    }
    file = folder / f"tinyproxy-{to}.conf"
    file.write_text("".join(f"{name} {value}\n" for name, value in rules.items()))
    process = await asyncio.create_subprocess_exec(
        *("tinyproxy", "-d", "-c", str(file)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await until(lambda: _listens(port), "a proxy that listens")
        yield
    finally:
        process.kill()
        await process.wait()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


@asynccontextmanager
async def a_client(config: JetConfig) -> AsyncIterator[JetClient]:
    """Open a client that goes its way."""
    metrics = Metrics(CollectorRegistry())
    async with open_client(
        config, lambda: ("a", "b"), Clock(), metrics, user_agent="test"
    ) as jet:
        yield jet


async def start(jet: JetClient) -> StartAnswer:
    """Send one start."""
    return await jet.start_delivery(JobId("j"), (ObjectSpec("/a"),), guard=lambda: None)


async def test_a_start_goes_through_and_one_that_is_refused_was_not_sent(
    tmp_path: Path,
) -> None:
    port = a_port()
    async with a_jet(tmp_path) as jet:
        config = a_config(jet, f"http://me:canary@127.0.0.1:{port}")
        async with a_client(config) as client:
            async with tinyproxy(tmp_path, port, jet.port):
                through = await start(client)
            async with tinyproxy(tmp_path, port, 443):
                refused = await start(client)

    assert through == StartAccepted(DeliveryId("d-1"))
    assert isinstance(refused, StartNotSent)
    assert refused.message == f"the proxy 127.0.0.1:{port} refused with 403"
    assert jet.starts == 1


async def test_a_start_that_is_lost_inside_the_tunnel_is_unknown(
    tmp_path: Path,
) -> None:
    port = a_port()
    async with (
        a_jet(tmp_path, close_after_reading) as jet,
        tinyproxy(tmp_path, port, jet.port),
        a_client(a_config(jet, f"http://me:canary@127.0.0.1:{port}")) as client,
    ):
        found = await start(client)

    assert isinstance(found, StartLost)
    assert jet.starts == 1


async def test_a_proxy_that_does_not_know_us_is_named_and_the_password_is_not(
    tmp_path: Path,
) -> None:
    port = a_port()
    async with (
        a_jet(tmp_path) as jet,
        tinyproxy(tmp_path, port, jet.port),
        a_client(a_config(jet, f"http://me:other-canary@127.0.0.1:{port}")) as client,
    ):
        with pytest.raises(JetError) as caught:
            await start(client)

    assert f"the proxy 127.0.0.1:{port} refused with 40" in str(caught.value)
    assert "canary" not in str(caught.value)
    assert jet.starts == 0
