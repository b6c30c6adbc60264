"""A worker that signs in to Kafka by Kerberos: a real KDC, and the broker's own handler."""

import asyncio
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from jetworker.sandbox.kafka import jars
from tests.integration.conftest import ROUTES
from tests.support.invariants import judge
from tests.support.jet.fake_server import JetServer
from tests.support.kafka.kdc import SERVICE, realm
from tests.support.system import System, a_command

pytestmark = [
    pytest.mark.integration,
    pytest.mark.platform(
        "krb5kdc", "kadmin.local", "kinit", "krb5-config", "cc", "java"
    ),
]


async def test_a_worker_signs_in_by_its_key_table_and_does_all_that_it_does(
    jet: JetServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_spec("gssapi") is not None, "make test-platform installs the extra"
    with realm(tmp_path) as kdc:
        broker, address = kdc.kafka()
        monkeypatch.setenv(
            "JAVA_TOOL_OPTIONS", f"-Djava.security.krb5.conf={kdc.config}"
        )
        # The runtime of the wheel has no SASL mechanism of Kerberos.
        monkeypatch.setattr(jars, "java", lambda: shutil.which("java"))
        await asyncio.to_thread(broker.__enter__)
        system = System(broker.bootstrap_servers, jet, tmp_path, ROUTES)
        try:
            await system.create()
            system.changes = {
                **kdc.environ,
                "JETWORKER_KAFKA__BOOTSTRAP_SERVERS": address,
                "JETWORKER_KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT",
                "JETWORKER_KAFKA__SASL_MECHANISM": "GSSAPI",
                "JETWORKER_KAFKA__SASL_KERBEROS_SERVICE_NAME": SERVICE,
            }
            await (await system.worker()).ready()
            await system.publish(a_command("k-1"), a_command("k-2"))
            events = await system.terminal(2)
            judge(events, [a_command("k-1"), a_command("k-2")], system.jet)
        finally:
            await system.close()
            await asyncio.to_thread(broker.__exit__, None, None, None)
