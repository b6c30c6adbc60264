"""Certificates, passwords and secrets are replaced under load, and nothing is restarted."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from jetworker.sandbox.kafka.broker import EmbeddedKafka
from tests.integration.conftest import ROUTES
from tests.support.invariants import judge
from tests.support.jet.fake_server import JetServer
from tests.support.kafka.acls import USER, asking
from tests.support.operating import audited
from tests.support.system import System, a_command
from tests.support.waiting import until

pytestmark = [
    pytest.mark.integration,
    pytest.mark.nightly,
]

_LOGIN = """
guarded.KafkaServer {{
  org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}="{word}";
}};
"""


def issue(folder: Path, word: str) -> None:
    """Write what broker and worker need to know each other, all of it new."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "authority.pem")
    for name, host in (("broker", "127.0.0.1"), ("worker", "worker.test")):
        issued = authority.issue_cert(host)
        key = load_pem_private_key(issued.private_key_pem.bytes(), None)
        plain = NoEncryption()
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, plain)
        chain = b"".join(each.bytes() for each in issued.cert_chain_pems)
        (folder / f"{name}.pem").write_bytes(pem + chain)
    (folder / "login.conf").write_text(_LOGIN.format(user=USER, word=word))
    (folder / "secrets" / "kafka__sasl_password").write_text(word)


@pytest.fixture
async def secured(
    jet: JetServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[EmbeddedKafka, System]]:
    """Return a broker that asks for a certificate and a password, and a system."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "jet__client_secret").write_text(jet.secret)
    issue(tmp_path, "kafka-canary-1")
    login = f"-Djava.security.auth.login.config={tmp_path / 'login.conf'}"
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", login)
    stores = {"keystore": "broker.pem", "truststore": "authority.pem"}
    broker, address = asking(
        {
            "sasl.enabled.mechanisms": "PLAIN",
            "ssl.client.auth": "required",
            **{f"ssl.{kind}.type": "PEM" for kind in stores},
            **{f"ssl.{k}.location": str(tmp_path / n) for k, n in stores.items()},
        },
        {},
        protocol="SASL_SSL",
    )
    await asyncio.to_thread(broker.__enter__)
    made = System(broker.bootstrap_servers, jet, tmp_path, ROUTES)
    try:
        await made.create()
        made.without = frozenset({"JETWORKER_JET__CLIENT_SECRET"})
        made.changes = {
            "JETWORKER_SECRETS_DIR": str(tmp_path / "secrets"),
            "JETWORKER_KAFKA__BOOTSTRAP_SERVERS": address,
            "JETWORKER_KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
            "JETWORKER_KAFKA__SASL_MECHANISM": "PLAIN",
            "JETWORKER_KAFKA__SASL_USERNAME": USER,
            "JETWORKER_KAFKA__SSL_CA_LOCATION": str(tmp_path / "authority.pem"),
            "JETWORKER_KAFKA__SSL_CERTIFICATE_LOCATION": str(tmp_path / "worker.pem"),
            "JETWORKER_KAFKA__SSL_KEY_LOCATION": str(tmp_path / "worker.pem"),
        }
        yield broker, made
    finally:
        await made.close()
        await asyncio.to_thread(broker.__exit__, None, None, None)


async def test_all_that_proves_who_one_is_is_replaced_under_load(
    secured: tuple[EmbeddedKafka, System],
) -> None:
    """The broker comes back with other certificates and another password, Jet with one."""
    broker, system = secured
    workers = [await system.worker(), await system.worker()]
    for worker in workers:
        await worker.ready()
    commands = [a_command(f"r-{n}") for n in range(60)]
    await system.publish(*commands[:30])
    await until(lambda: len(system.jet.deliveries) > 5, "five starts")

    issue(system.folder, "kafka-canary-2")
    (system.folder / "secrets" / "jet__client_secret").write_text("s3cr3t-canary-2")
    system.jet.secret = "s3cr3t-canary-2"
    system.jet.tokens.clear()
    await asyncio.to_thread(broker.restart)
    await system.publish(*commands[30:])
    events = await system.decided(len(commands))

    judge(events, commands, system.jet)
    for worker in workers:
        assert worker.process.returncode is None
        await worker.ready()
        assert "canary" not in worker.log.read_text()
    system.changes, system.without = {}, frozenset()
    await audited(system)
