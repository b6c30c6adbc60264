"""Between Kafka and its clients: holds back the answers to some kinds of requests."""

import asyncio
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self, TypeAlias

from typing_extensions import override

END_TXN = 26
Side: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Forwarder:
    """Forwards a port to another; what is done on the way is a subclass's."""

    target: int = 0
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
            await self._forward((reader, writer), (back, forth))
        except* (OSError, asyncio.IncompleteReadError):
            pass  # one side hung up
        finally:
            writer.close()
            forth.close()

    async def _forward(self, client: Side, broker: Side) -> None:
        raise NotImplementedError


@dataclass
class KafkaProxy(Forwarder):
    """
    Holds answers back: *delay* returns seconds for the key of a request.

    Kafka answers a connection's requests in order, so what follows waits too.
    """

    delay: Callable[[int], float] = lambda _key: 0.0
    delayed: int = 0

    @override
    async def _forward(self, client: Side, broker: Side) -> None:
        keys: dict[int, int] = {}
        async with asyncio.TaskGroup() as both:
            both.create_task(self._ask(client[0], broker[1], keys))
            both.create_task(self._answer(broker[0], client[1], keys))

    async def _ask(
        self,
        reader: asyncio.StreamReader,
        forth: asyncio.StreamWriter,
        keys: dict[int, int],
    ) -> None:
        while True:
            frame = await _frame(reader)
            key, _version, correlation = struct.unpack_from(">hhi", frame, 4)
            keys[correlation] = key
            forth.write(frame)
            await forth.drain()

    async def _answer(
        self,
        back: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        keys: dict[int, int],
    ) -> None:
        while True:
            frame = await _frame(back)
            (correlation,) = struct.unpack_from(">i", frame, 4)
            seconds = self.delay(keys.pop(correlation, -1))
            if seconds:
                self.delayed += 1
                await asyncio.sleep(seconds)  # the fault
            writer.write(frame)
            await writer.drain()


async def _frame(reader: asyncio.StreamReader) -> bytes:
    """Return one request or answer with its length before it."""
    length = await reader.readexactly(4)
    return length + await reader.readexactly(int.from_bytes(length))
