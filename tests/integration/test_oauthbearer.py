"""A worker that signs in to Kafka by tokens, as companies run it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.conftest import ROUTES
from tests.support.invariants import judge
from tests.support.jet.fake_server import JetServer
from tests.support.kafka.tokens import (
    CLIENT,
    JAVA_OPTIONS,
    SECRET,
    TokenServer,
    believing,
    serving,
)
from tests.support.system import System, a_command
from tests.support.waiting import until

pytestmark = pytest.mark.integration

# Of a token, in seconds. Where a machine takes longer than the short one to sign in and
# commit, nothing ends: once it has shown what it is for, tokens are good for long.
SHORT, LONG = 6.0, 3600.0


@pytest.fixture
async def tokens(
    jet: JetServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[TokenServer, System]]:
    """Return a token server, and a system whose workers sign in by its tokens."""
    with serving(TokenServer(life=SHORT)) as server:
        monkeypatch.setenv(
            "JAVA_TOOL_OPTIONS", f"{JAVA_OPTIONS}{server.url}/keys,{server.url}/token"
        )
        broker, address = believing(server)
        await asyncio.to_thread(broker.__enter__)
        made = System(broker.bootstrap_servers, jet, tmp_path, ROUTES)
        try:
            await made.create()
            made.changes = {
                "JETWORKER_KAFKA__BOOTSTRAP_SERVERS": address,
                "JETWORKER_KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT",
                "JETWORKER_KAFKA__SASL_MECHANISM": "OAUTHBEARER",
                "JETWORKER_KAFKA__SASL_OAUTHBEARER_METHOD": "oidc",
                "JETWORKER_KAFKA__SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL": (
                    f"{server.url}/token"
                ),
                "JETWORKER_KAFKA__SASL_OAUTHBEARER_CLIENT_ID": CLIENT,
                "JETWORKER_KAFKA__SASL_OAUTHBEARER_CLIENT_SECRET": SECRET,
            }
            yield server, made
        finally:
            await made.close()
            await asyncio.to_thread(broker.__exit__, None, None, None)


async def renewed(server: TokenServer) -> None:
    """Wait until somebody fetched a further token."""
    issued = server.issued
    await until(lambda: server.issued > issued, "a token is renewed")


async def test_a_worker_outlives_its_tokens_and_the_key_that_signed_them(
    tokens: tuple[TokenServer, System],
) -> None:
    """The broker cuts a connection when its token ends; nothing is lost or doubled."""
    server, system = tokens
    worker = await (await system.worker()).ready()
    commands = [a_command(f"o-{number}") for number in range(12)]
    for number, command in enumerate(commands):
        await system.publish(command)
        if number == 4:
            server.rotate()
        if number in {3, 8}:
            await renewed(server)
    server.life = LONG

    events = await system.terminal(len(commands))

    judge(events, commands, system.jet)
    assert worker.process.returncode is None
    assert SECRET not in worker.log.read_text()
    assert all(form["grant_type"] == ["client_credentials"] for form in server.asked)


async def test_tokens_that_the_broker_does_not_take_are_no_reason_to_end(
    tokens: tuple[TokenServer, System],
) -> None:
    """A wrong audience, then a token server that is down: it goes on when repaired."""
    server, system = tokens
    server.audience = "somebody-else"
    worker = await system.worker()
    await until(lambda: server.issued > 0, "a worker that asked for a token")
    server.is_up = False
    asked = len(server.asked)
    await until(lambda: len(server.asked) > asked, "a worker that asks again")
    assert worker.process.returncode is None

    server.is_up, server.audience, server.life = True, "kafka", LONG
    command = a_command("o-repaired")
    await system.publish(command)

    judge(await system.terminal(1), [command], system.jet)
    assert SECRET not in worker.log.read_text()
