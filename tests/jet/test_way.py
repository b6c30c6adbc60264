"""To Jet through a company's network: its proxy, and its own authority."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
import trustme
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from jetworker.config.model import JetConfig
from jetworker.core.command import DeliveryId, JobId, ObjectSpec
from jetworker.core.errors import JetError, LeaseLost
from jetworker.core.observation import (
    StartAccepted,
    StartAnswer,
    StartLost,
    StartNotSent,
)
from jetworker.jet.client import open_client
from jetworker.jet.way import cure, proxy_of
from jetworker.runtime.clock import Clock
from jetworker.runtime.metrics import Metrics
from tests.jet.test_start_call import (
    TOKEN,
    Behaviour,
    Reader,
    Writer,
    answer,
    answering,
    close_after_reading,
    read_request,
    refusing_the_second_time,
)
from tests.support import forked
from tests.support.forward_proxy import ForwardProxy, proxying
from tests.support.waiting import PATIENCE, until

STARTED = answering(answer(b'{"deliveryId":"d-1"}'))


@dataclass
class Jet:
    """A Jet with a certificate of its company's own authority."""

    port: int
    authority: Path
    starts: int = 0


@asynccontextmanager
async def a_jet(folder: Path, behaviour: Behaviour = STARTED) -> AsyncIterator[Jet]:
    """Serve the token, and starts as told."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    file = folder / "authority.pem"
    authority.cert_pem.write_to_path(file)

    async def handle(reader: Reader, writer: Writer) -> None:
        try:
            while head := await reader.readuntil(b"\r\n"):
                if b"/oauth/token" in head:
                    await read_request(reader)
                    writer.write(answer(TOKEN))
                    await writer.drain()
                    continue
                jet.starts += 1
                await behaviour(reader, writer)
                break
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
    jet = Jet(server.sockets[0].getsockname()[1], file)
    try:
        yield jet
    finally:
        server.close()


def a_config(jet: Jet, proxy: str | None = None, **changes: object) -> JetConfig:
    """Return the settings of a client that finds its way."""
    return JetConfig.model_validate(
        {
            "base_url": f"https://localhost:{jet.port}",
            "client_id": "a",
            "client_secret": SecretStr("b"),
            "request_timeout": timedelta(seconds=30),
            "ssl_ca_location": jet.authority,
            "proxy": SecretStr(proxy) if proxy else None,
            **changes,
        }
    )


async def start(
    config: JetConfig, guard: Callable[[], None] = lambda: None
) -> StartAnswer:
    """Send one start."""
    clock, metrics = Clock(), Metrics(CollectorRegistry())
    async with open_client(
        config, lambda: ("a", "b"), clock, metrics, user_agent="test"
    ) as jet:
        objects = (ObjectSpec("/a"),)
        return await jet.start_delivery(JobId("j"), objects, guard=guard)


async def test_a_start_goes_through_the_proxy_with_its_credentials(
    tmp_path: Path,
) -> None:
    async with a_jet(tmp_path) as jet, proxying(ForwardProxy("me:secret")) as proxy:
        way = proxy.url.replace("//", "//me:secret@")

        found = await start(a_config(jet, way))

    assert found == StartAccepted(DeliveryId("d-1"))
    assert proxy.asked == [f"localhost:{jet.port}"] * 2  # the token, and the start


@pytest.mark.parametrize("is_direct", [True, False])
async def test_a_start_under_tls_that_is_too_late_once_its_connection_is_there_is_kept_back(
    tmp_path: Path,
    is_direct: bool,
) -> None:
    async with a_jet(tmp_path) as jet, proxying(ForwardProxy("me:secret")) as proxy:
        way = proxy.url.replace("//", "//me:secret@")
        config = a_config(jet, None if is_direct else way)

        with pytest.raises(LeaseLost):
            await start(config, refusing_the_second_time())

    assert jet.starts == 0


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        ("407 Proxy Authentication Required", "refused with 407"),
        ("403 Forbidden", "refused with 403"),
        ("502 Bad Gateway", "refused with 502"),
    ],
)
async def test_what_a_proxy_says_is_not_jet_s_word(
    tmp_path: Path, refusal: str, said: str
) -> None:
    """The token is refused first: no start is sent, and the proxy is named."""
    async with (
        a_jet(tmp_path) as jet,
        proxying(ForwardProxy(refuses=refusal)) as proxy,
    ):
        with pytest.raises(JetError) as caught:
            await start(a_config(jet, proxy.url.replace("//", "//me:canary@")))

    assert f"the proxy 127.0.0.1:{proxy.port} {said}" in str(caught.value)
    assert "canary" not in str(caught.value)
    assert jet.starts == 0


async def test_a_start_that_the_proxy_refuses_was_not_sent(tmp_path: Path) -> None:
    """The token came through; then the company's rules changed."""

    async with a_jet(tmp_path) as jet, proxying(ForwardProxy(lets=1)) as proxy:
        found = await start(a_config(jet, proxy.url))

    assert isinstance(found, StartNotSent)
    assert found.message == f"the proxy 127.0.0.1:{proxy.port} refused with 403"
    assert jet.starts == 0


async def test_a_start_that_is_lost_inside_the_tunnel_is_unknown(
    tmp_path: Path,
) -> None:
    async with (
        a_jet(tmp_path, close_after_reading) as jet,
        proxying(ForwardProxy()) as proxy,
    ):
        found = await start(a_config(jet, proxy.url))

    assert isinstance(found, StartLost)
    assert jet.starts == 1


async def test_a_proxy_that_is_not_there_is_named(tmp_path: Path) -> None:
    async with a_jet(tmp_path) as jet:
        with pytest.raises(
            JetError, match=r"the proxy 127\.0\.0\.1:9 cannot be reached"
        ):
            await start(a_config(jet, "http://127.0.0.1:9"))


async def test_an_authority_that_is_not_trusted_is_no_way_to_jet(
    tmp_path: Path,
) -> None:
    async with a_jet(tmp_path) as jet:
        with pytest.raises(JetError, match="certificate"):
            await start(a_config(jet, ssl_ca_location=None))


async def test_the_system_s_store_is_obeyed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_jet(tmp_path) as jet:
        monkeypatch.setenv("SSL_CERT_FILE", str(jet.authority))

        found = await start(a_config(jet, ssl_ca_location=None))

    assert found == StartAccepted(DeliveryId("d-1"))


async def test_an_authority_that_was_replaced_is_trusted_without_a_restart(
    tmp_path: Path,
) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    async with a_jet(tmp_path / "old") as old, a_jet(tmp_path / "new") as new:
        clock, metrics = Clock(), Metrics(CollectorRegistry())
        config = a_config(new, ssl_ca_location=old.authority)
        async with open_client(
            config, lambda: ("a", "b"), clock, metrics, user_agent="test"
        ) as jet:
            objects = (ObjectSpec("/a"),)
            with pytest.raises(JetError, match="certificate"):
                await jet.start_delivery(JobId("j"), objects, guard=lambda: None)
            old.authority.write_bytes(new.authority.read_bytes())

            async def is_started() -> bool:
                try:
                    found = await jet.start_delivery(
                        JobId("j"), objects, guard=lambda: None
                    )
                except JetError:
                    return False
                return found == StartAccepted(DeliveryId("d-1"))

            await until(is_started, "a start after the authority was replaced")


async def what_to_do(config: JetConfig) -> str | None:
    """Return the cure of a start that finds no way to Jet."""
    with pytest.raises(JetError) as caught:
        await start(config)
    return cure(caught.value, config)


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        ("407 No", "write JETWORKER_JET__PROXY as http://USER:PASSWORD@HOST:PORT"),
        (
            "403 No",
            "let the proxy connect to localhost, or name another in JETWORKER_JET__PROXY",
        ),
    ],
)
async def test_a_refusal_of_the_proxy_is_cured_at_the_proxy(
    tmp_path: Path, refusal: str, said: str
) -> None:
    async with a_jet(tmp_path) as jet, proxying(ForwardProxy(refuses=refusal)) as proxy:
        assert await what_to_do(a_config(jet, proxy.url)) == said


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
async def test_a_proxy_that_is_not_there_is_cured_by_its_name(
    tmp_path: Path, host: str
) -> None:
    async with a_jet(tmp_path) as jet:
        found = await what_to_do(a_config(jet, f"http://{host}:9"))

    assert found == "correct JETWORKER_JET__PROXY; NO_PROXY names what needs none"


async def test_an_authority_is_cured_by_naming_it_inside_a_tunnel_too(
    tmp_path: Path,
) -> None:
    (tmp_path / "other").mkdir()
    async with (
        a_jet(tmp_path) as jet,
        a_jet(tmp_path / "other") as other,
        proxying(ForwardProxy()) as proxy,
    ):
        system = await what_to_do(a_config(jet, proxy.url, ssl_ca_location=None))
        given = await what_to_do(a_config(jet, ssl_ca_location=other.authority))

    assert system == (
        "the system does not trust the authority of who answers; a company's own is named"
        " in JETWORKER_JET__SSL_CA_LOCATION"
    )
    assert given == (
        "JETWORKER_JET__SSL_CA_LOCATION has not the authority of who answers"
    )


async def test_another_s_certificate_is_not_cured_by_trusting_more(
    tmp_path: Path,
) -> None:
    """It is `localhost`'s, and trusted."""
    async with a_jet(tmp_path) as jet:
        address = f"https://127.0.0.1:{jet.port}"

        found = await what_to_do(a_config(jet, base_url=address))

    assert found == (
        "the certificate itself is wrong: whoever answers there has to repair it"
    )


async def test_a_jet_that_is_down_is_nothing_of_the_way(tmp_path: Path) -> None:
    async with a_jet(tmp_path) as jet:
        assert await what_to_do(a_config(jet, base_url="https://localhost:9")) is None


async def checked(environ: dict[str, str]) -> str:
    """Run `jetworker check`, which finds something wrong, and return what it says."""
    process = await forked.start(
        "check", env=environ, stdout=forked.PIPE, stderr=forked.STDOUT
    )
    said, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode == 78
    return said.decode()


async def test_check_says_which_of_proxy_and_authority_is_wrong(
    tmp_path: Path,
) -> None:
    routes = tmp_path / "routes.yaml"
    routes.write_text("routes: {archive: {job_id: j}}")
    async with (
        a_jet(tmp_path) as jet,
        proxying(ForwardProxy(refuses="407 No")) as proxy,
    ):
        environ = {
            "JETWORKER_ROUTES_FILE": str(routes),
            "JETWORKER_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9",
            "JETWORKER_JET__BASE_URL": f"https://localhost:{jet.port}",
            "JETWORKER_JET__CLIENT_ID": "a",
            "JETWORKER_JET__CLIENT_SECRET": "b",
        }
        way = {"JETWORKER_JET__PROXY": proxy.url.replace("//", "//me:canary@")}
        told = [await checked(environ | each) for each in (way, {})]

    first, second = (
        line
        for each in told
        for line in each.splitlines()
        if line.startswith("token: ")
    )
    assert "canary" not in "".join(told)
    assert first.endswith(
        "write JETWORKER_JET__PROXY as http://USER:PASSWORD@HOST:PORT"
    )
    assert second.endswith("named in JETWORKER_JET__SSL_CA_LOCATION")


@pytest.mark.parametrize(
    ("setting", "environ", "found"),
    [
        (None, {}, None),
        (None, {"https_proxy": "http://env:1"}, "http://env:1"),
        (None, {"HTTPS_PROXY": "http://env:1"}, "http://env:1"),
        (None, {"http_proxy": "http://env:1"}, None),
        ("http://set:2", {"https_proxy": "http://env:1"}, "http://set:2"),
        ("http://set:2", {"no_proxy": ".example"}, None),
        (None, {"https_proxy": "http://env:1", "no_proxy": "jet.example"}, None),
        (None, {"https_proxy": "http://env:1", "no_proxy": "other"}, "http://env:1"),
    ],
)
def test_the_proxy_is_the_setting_s_else_the_environment_s(
    setting: str | None,
    environ: dict[str, str],
    found: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without(monkeypatch)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    config = JetConfig(
        base_url="https://jet.example",
        client_id="a",
        client_secret=SecretStr("b"),
        proxy=SecretStr(setting) if setting else None,
    )

    proxy = proxy_of(config)

    assert (str(proxy.url) if proxy else None) == found


def test_this_machine_is_no_destination_of_the_environment_s_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A sandbox is tried out in companies whose NO_PROXY does not name it."""
    without(monkeypatch)
    monkeypatch.setenv("http_proxy", "http://env:1")
    config = JetConfig(
        base_url="http://127.0.0.1:8090", client_id="a", client_secret=SecretStr("b")
    )

    assert proxy_of(config) is None


def without(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what this machine's environment says of proxies."""
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
