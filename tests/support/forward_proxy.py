"""A small forward proxy as companies have one: CONNECT, with credentials or a refusal."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class ForwardProxy:
    """Tunnels where it is asked to, or refuses: at once, or when it *lets* no more."""

    credentials: str | None = None
    refuses: str | None = None
    lets: int | None = None
    asked: list[str] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    async def handle(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Serve one connection."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.asked.append(head.split(" ")[1])
            refusal = self._refusal(head)
            if refusal is None:
                await self._tunnel(head.split(" ")[1], reader, writer)
            else:
                body = b"<html>the company says no</html>"
                answer = f"HTTP/1.1 {refusal}\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(answer.encode() + body)
                await writer.drain()
        writer.close()

    def _refusal(self, head: str) -> str | None:
        if self.refuses is not None:
            return self.refuses
        if self.lets is not None and len(self.asked) > self.lets:
            return "403 Forbidden"
        if self.credentials is not None:
            wanted = base64.b64encode(self.credentials.encode()).decode()
            if f"Basic {wanted}" not in head:
                return "407 Proxy Authentication Required"
        return None

    async def _tunnel(
        self, where: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        host, _, port = where.rpartition(":")
        beyond, there = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await writer.drain()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_pump(reader, there))
            tasks.create_task(_pump(beyond, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def proxying(proxy: ForwardProxy) -> AsyncIterator[ForwardProxy]:
    """Listen on a free port of this machine."""
    server = await asyncio.start_server(proxy.handle, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
