"""A Kafka's certificate, and a door before it that hears which name is asked for."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

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
class Door:
    """Forwards a port byte for byte, and keeps how every connection began."""

    target: int = 0
    hellos: list[bytes] = field(default_factory=list)
    port: int = 0
    _server: asyncio.Server | None = None
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            back, forth = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        try:
            hello = await reader.read(_HELLO)
            self.hellos.append(hello)
            forth.write(hello)
            async with asyncio.TaskGroup() as both:
                both.create_task(_pass_on(reader, forth))
                both.create_task(_pass_on(back, writer))
        except* OSError:
            pass  # one side hung up
        finally:
            writer.close()
            forth.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.close()
