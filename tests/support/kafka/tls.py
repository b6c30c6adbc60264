"""A Kafka's certificate, and a door before it that hears which name is asked for."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from typing_extensions import override

from tests.support.kafka.proxy import Forwarder, Side

_HELLO = 4096


def certified(folder: Path, name: str) -> tuple[dict[str, str], Path]:
    """Return a listener's settings with a certificate for *name*, and who signed it."""
    authority = trustme.CA()
    issued = authority.issue_cert(name)
    # Java reads no other form of a key.
    key = load_pem_private_key(issued.private_key_pem.bytes(), None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    store, trusted = folder / "kafka.pem", folder / "authority.pem"
    store.write_bytes(key + b"".join(each.bytes() for each in issued.cert_chain_pems))
    authority.cert_pem.write_to_path(trusted)
    settings = {"ssl.keystore.type": "PEM", "ssl.keystore.location": str(store)}
    return settings, trusted


@dataclass
class Door(Forwarder):
    """Passes everything on byte for byte, and keeps how every connection began."""

    hellos: list[bytes] = field(default_factory=list)

    @override
    async def _forward(self, client: Side, broker: Side) -> None:
        hello = await client[0].read(_HELLO)
        self.hellos.append(hello)
        broker[1].write(hello)
        async with asyncio.TaskGroup() as both:
            both.create_task(_pass_on(client[0], broker[1]))
            both.create_task(_pass_on(broker[0], client[1]))


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.close()
