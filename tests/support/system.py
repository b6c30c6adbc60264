"""A whole system for integration tests: topics, a Jet, worker processes, and a reader."""

import asyncio
import json
import os
import signal
import ssl
import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from aiokafka import AIOKafkaProducer

from jetworker.config.load import load
from jetworker.config.model import Config
from jetworker.kafka import topics
from tests.support import forked
from tests.support.jet.fake_server import JetServer
from tests.support.kafka.reading import TopicReader
from tests.support.waiting import PATIENCE, until

# Of each job it is stated what the Jet of these tests does: it lists everything, and
# nobody else starts on it. What is proven without that is in `test_evidence`.
STATED = "exclusive: true, listing: complete"
_RUN = (sys.executable, "-m", "jetworker", "run")
# Whom a client trusts that never asks: to read all authorities takes 40 ms at every look.
_NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@dataclass
class WorkerProcess:
    """A real `jetworker run`."""

    process: asyncio.subprocess.Process | forked.Process
    log: Path
    port: int = 0

    async def ready(self) -> "WorkerProcess":
        """Wait until it says that it is ready."""
        await until(self._is_ready, f"a ready worker: {self.log}")
        return self

    async def _is_ready(self) -> bool:
        assert self.process.returncode is None, self.log.read_text()[-3000:]
        if not self.port:
            for line in self.log.read_text().splitlines():
                if '"port":' in line:
                    self.port = json.loads(line)["port"]
        return bool(self.port) and (await self.get("/readyz")).status_code == 200

    async def get(self, path: str) -> httpx.Response:
        """Ask its HTTP port."""
        async with httpx.AsyncClient(trust_env=False, verify=_NOBODY) as client:
            return await client.get(f"http://127.0.0.1:{self.port}{path}")

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    async def stop(self) -> int:
        """SIGTERM, and wait; returns the exit code."""
        if self.process.returncode is None:
            self.process.terminate()
        return await asyncio.wait_for(self.process.wait(), PATIENCE)


@dataclass
class System:
    """
    One group with topics of its own; its workers are forked, or start *from_nothing*.

    So does one whose environment has something that only a new Python looks at.
    """

    kafka: str
    jet: JetServer
    folder: Path
    routes: str
    changes: Mapping[str, str] = field(default_factory=dict)
    without: frozenset[str] = frozenset()
    partitions: int = 4
    replication: int = 1
    from_nothing: bool = False
    name: str = field(default_factory=lambda: f"s{uuid.uuid4().hex[:10]}")
    workers: list[WorkerProcess] = field(default_factory=list)
    readers: dict[str, TopicReader] = field(default_factory=dict)

    @property
    def environ(self) -> dict[str, str]:
        """Return a worker's environment."""
        routes = self.folder / "routes.yaml"
        if not routes.exists():
            routes.write_text(self.routes)
        found = {
            "PATH": os.environ["PATH"],
            "JETWORKER_ROUTES_FILE": str(routes),
            "JETWORKER_KAFKA__BOOTSTRAP_SERVERS": self.kafka,
            "JETWORKER_KAFKA__GROUP_ID": self.name,
            "JETWORKER_KAFKA__SESSION_TIMEOUT": "3s",
            "JETWORKER_TOPICS__COMMANDS": f"{self.name}.commands",
            "JETWORKER_TOPICS__EVENTS": f"{self.name}.events",
            "JETWORKER_TOPICS__STATE": f"{self.name}.state",
            "JETWORKER_TOPICS__DEAD_LETTERS": f"{self.name}.dead-letters",
            "JETWORKER_JET__BASE_URL": self.jet.base_url,
            "JETWORKER_JET__CLIENT_ID": "tests",
            "JETWORKER_JET__CLIENT_SECRET": self.jet.secret,
            "JETWORKER_JET__REQUESTS_PER_SECOND": "500",
            "JETWORKER_JET__REQUEST_TIMEOUT": "10s",
            "JETWORKER_POLLING__MIN_INTERVAL": "200ms",
            "JETWORKER_POLLING__MAX_INTERVAL": "1s",
            "JETWORKER_STARTS__SETTLE": "2s",
            "JETWORKER_EVENTS__PROGRESS_INTERVAL": "500ms",
            "JETWORKER_HTTP__HOST": "127.0.0.1",
            "JETWORKER_HTTP__PORT": "0",
            **self.changes,
        }
        return {name: found[name] for name in found if name not in self.without}

    @property
    def config(self) -> Config:
        """Return a worker's settings."""
        return load(self.environ)

    async def create(self) -> "System":
        """Make the topics."""
        await topics.create(
            self.config, partitions=self.partitions, replication=self.replication
        )
        return self

    async def worker(self, **changes: str) -> WorkerProcess:
        """Start a worker process, without waiting for it."""
        log = self.folder / f"worker-{len(self.workers)}.log"
        with log.open("wb") as stderr:
            environ = self.environ | changes
            is_for_python = any(name in environ for name in forked.UNSEEN)
            process = await (
                asyncio.create_subprocess_exec(*_RUN, env=environ, stderr=stderr)
                if self.from_nothing or is_for_python
                else forked.start("run", env=environ, stderr=stderr)
            )
        worker = WorkerProcess(process, log)
        self.workers.append(worker)
        return worker

    async def close(self) -> None:
        """Kill what still runs; nothing may have failed in it that nobody looked at."""
        for worker in self.workers:
            if worker.process.returncode is None:
                worker.process.kill()
            await worker.process.wait()
        for reader in self.readers.values():
            await reader.close()
        for worker in self.workers:
            lines = worker.log.read_text(errors="replace").splitlines()
            unseen = [line for line in lines if "never retrieved" in line]
            assert not unseen, f"{worker.log}: {unseen[0]}"

    async def publish(
        self, *commands: dict[str, Any] | bytes, **headers: bytes
    ) -> None:
        """Publish commands, keyed by their ids."""
        await self._publish([(None, each) for each in commands], list(headers.items()))

    async def publish_to(
        self, commands: Mapping[int, Sequence[dict[str, Any]]]
    ) -> None:
        """Publish commands to these partitions."""
        placed = [(number, each) for number in commands for each in commands[number]]
        await self._publish(placed, [])

    async def _publish(
        self,
        commands: Sequence[tuple[int | None, dict[str, Any] | bytes]],
        headers: list[tuple[str, bytes]],
    ) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self.kafka)
        await producer.start()
        try:
            topic = self.config.topics.commands
            sent = []
            for number, command in commands:
                if isinstance(command, bytes):
                    key, value = b"?", command
                else:
                    key = str(command["commandId"]).encode()
                    value = json.dumps(command).encode()
                sent.append(
                    await producer.send(topic, value, key, number, headers=headers)
                )
            for each in sent:
                await each
        finally:
            await producer.stop()

    async def read(self, topic: str) -> list[Any]:
        """Return all committed records of a topic."""
        if topic not in self.readers:
            self.readers[topic] = TopicReader(self.kafka, topic)
        return await self.readers[topic].read()

    async def events(self) -> "list[Event]":
        """Return all committed events, in the order of each partition."""
        return [
            Event.of(record) for record in await self.read(self.config.topics.events)
        ]

    async def terminal(self, number: int, seconds: float = PATIENCE) -> "list[Event]":
        """Wait until so many commands have ended, and return all events."""
        found: list[Event] = []

        async def enough() -> bool:
            nonlocal found
            found = await self.events()
            return sum(1 for event in found if event.is_terminal) >= number

        try:
            await until(enough, f"{number} terminal events", seconds)
        except AssertionError as exc:
            raise AssertionError(f"{exc}\n{_unfinished(found)}") from exc
        return found

    async def decided(self, number: int) -> "list[Event]":
        """
        Wait as `terminal`, and decide what is held as an operator would.

        On a machine with other things to do a look-up may come too late, and the command
        is held, as it says. Nothing is lost by that, and nothing is started twice.
        """
        over: set[str] = set()

        async def enough() -> bool:
            found = await self.events()
            orders = [
                self._order(event)
                for event in found
                if _is_held(event) and event.headers["ce_id"] not in over
            ]
            over.update(event.headers["ce_id"] for event in found)
            await self.publish(*orders)
            return sum(1 for event in found if event.is_terminal) >= number

        await until(enough, f"{number} terminal events", 2 * PATIENCE)
        return await self.events()

    def _order(self, held: "Event") -> dict[str, Any]:
        """Bind a held command to what Jet has of it, or let it be started again."""
        command_id = held.data["commandId"]
        order = {"commandId": command_id, "type": "resolve"}
        made = self.jet.creations().get(f"/{command_id}.mov")
        if made:
            return order | {"action": "adopt", "deliveryId": made[0]}
        return order | {"action": "resend"}


def _is_held(event: "Event") -> bool:
    return event.kind == "delivery.uncertain" and event.data["reason"]["code"] == "held"


def _unfinished(events: "list[Event]") -> str:
    """Say where every command is that has not ended."""
    last = {e.key: e for e in events if not e.kind.startswith("command.")}
    return "\n".join(
        f"{key}: {e.kind} {e.data.get('reason')}"
        for key, e in last.items()
        if not e.is_terminal
    )


@dataclass(frozen=True)
class Event:
    """An event as a consumer sees it."""

    kind: str
    key: str | None
    data: dict[str, Any]
    headers: dict[str, str]
    at: int

    @classmethod
    def of(cls, record: Any) -> "Event":
        """Read a record."""
        headers = {name: value.decode() for name, value in record.headers}
        return cls(
            headers["ce_type"].removeprefix("io.jetworker."),
            record.key.decode() if record.key else None,
            json.loads(record.value),
            headers,
            record.timestamp,
        )

    @property
    def is_terminal(self) -> bool:
        """Whether nothing may come after it."""
        return self.kind in {
            "delivery.completed",
            "delivery.failed",
            "delivery.cancelled",
        }


def a_command(
    command_id: str, route: str = "archive", **changes: Any
) -> dict[str, Any]:
    """Return a command to send one file of its own."""
    return {
        "commandId": command_id,
        "route": route,
        "objects": [{"relativePath": f"/{command_id}.mov", "sizeInBytes": 1000}],
        **changes,
    }
