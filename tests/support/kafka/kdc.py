"""A real Kerberos (MIT's krb5-kdc), and a Kafka that signs clients in by it."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from jetworker.sandbox.kafka import broker as kafka_port
from jetworker.sandbox.kafka.broker import EmbeddedKafka
from tests.support.kafka.acls import asking

REALM = "JETWORKER.TEST"
SERVICE = "kafka"
_LOGIN = "com.sun.security.auth.module.Krb5LoginModule"
# Debian has them where only root looks.
_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
_READY_WITHIN = 30.0


@dataclass(frozen=True)
class Kdc:
    """A realm on this machine, with a key table each for Kafka and for its client."""

    folder: Path

    @property
    def config(self) -> Path:
        """The file that says where the realm is."""
        return self.folder / "krb5.conf"

    @property
    def environ(self) -> dict[str, str]:
        """What a client's process needs: its tickets are its own, fetched by its keys."""
        return {
            "KRB5_CONFIG": str(self.config),
            "KRB5_CLIENT_KTNAME": f"FILE:{self.folder / 'client.keytab'}",
            "KRB5CCNAME": "MEMORY:",
        }

    def kafka(self) -> tuple[EmbeddedKafka, str]:
        """Return a broker, not started, and the address where the realm signs in."""
        keys = self.folder / "kafka.keytab"
        login = (
            f'{_LOGIN} required useKeyTab=true storeKey=true keyTab="{keys}"'
            f' principal="{SERVICE}/localhost@{REALM}";'
        )
        port, _ = kafka_port.free_ports()
        broker, address = asking(
            {
                "sasl.enabled.mechanisms": "GSSAPI",
                "sasl.kerberos.service.name": SERVICE,
                "gssapi.sasl.jaas.config": login,
            },
            {},
            door=f"localhost:{port}",
            port=port,
        )
        return broker, address.replace("127.0.0.1", "localhost")


@contextmanager
def realm(folder: Path) -> Iterator[Kdc]:
    """Run a KDC with what Kafka and a client need."""
    port, _ = kafka_port.free_ports()
    kdc = Kdc(folder)
    kdc.config.write_text(
        f"""[libdefaults]
default_realm = {REALM}
dns_lookup_kdc = false
dns_lookup_realm = false
dns_canonicalize_hostname = false
rdns = false
udp_preference_limit = 1
[realms]
{REALM} = {{
  kdc = 127.0.0.1:{port}
}}
"""
    )
    (folder / "kdc.conf").write_text(
        f"""[kdcdefaults]
kdc_listen = 127.0.0.1:{port}
kdc_tcp_listen = 127.0.0.1:{port}
[realms]
{REALM} = {{
  database_name = {folder / "principal"}
  key_stash_file = {folder / "stash"}
}}
[logging]
kdc = FILE:{folder / "kdc.log"}
"""
    )
    environ = {
        "PATH": _PATH,
        "KRB5_CONFIG": str(kdc.config),
        "KRB5_KDC_PROFILE": str(folder / "kdc.conf"),
    }

    def run(*command: str) -> None:
        subprocess.run(command, env=environ, check=True, capture_output=True)

    run("kdb5_util", "create", "-s", "-r", REALM, "-P", "of the test")
    for who, keys in ((f"{SERVICE}/localhost", "kafka"), ("jetworker", "client")):
        run("kadmin.local", "-q", f"addprinc -randkey {who}")
        run("kadmin.local", "-q", f"ktadd -k {folder / f'{keys}.keytab'} {who}")
    process = subprocess.Popen(["krb5kdc", "-n"], env=environ)
    try:
        _await(kdc, environ)
        yield kdc
    finally:
        process.terminate()
        process.wait()


def _await(kdc: Kdc, environ: dict[str, str]) -> None:
    """Wait until it gives a ticket."""
    deadline = time.monotonic() + _READY_WITHIN
    asked = ["kinit", "-k", "-t", str(kdc.folder / "client.keytab"), "jetworker"]
    cache = {"KRB5CCNAME": f"FILE:{kdc.folder / 'cache'}"}
    while subprocess.run(
        asked, env=environ | cache, check=False, capture_output=True
    ).returncode:
        assert time.monotonic() < deadline, "no ticket of the KDC"
        time.sleep(0.1)
