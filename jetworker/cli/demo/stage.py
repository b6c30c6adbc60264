"""The demo's stage: worker processes, their settings, and the Jet side of things."""

import asyncio
import json
import os
import sys
import time
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from jetworker.cli.jobs import jet_client
from jetworker.config import load as settings
from jetworker.config.model import Config
from jetworker.core.errors import KafkaUnavailable
from jetworker.kafka.reader import tail
from jetworker.sandbox.jet.server import Sandbox
from jetworker.wire.events import ReadEvent

_READY_WITHIN = 30.0  # seconds
_ROUTES = """\
routes:
  london-to-paris: {job_name: london-to-paris, exclusive: true, listing: complete}
  by-profiles:
    source: London
    destination: Paris
    job_name: made-by-jetworker
    exclusive: true
    listing: complete
  growing: {job_name: growing, exclusive: true, listing: complete}
  vault: {job_name: vault, exclusive: true, listing: complete}
"""


def environment(folder: Path, bootstrap: str, sandbox: Sandbox) -> dict[str, str]:
    """Return the environment of the demo's workers."""
    routes = folder / "routes.yaml"
    routes.write_text(_ROUTES)
    return {
        "PATH": os.environ.get("PATH", ""),
        "JETWORKER_ROUTES_FILE": str(routes),
        "JETWORKER_KAFKA__BOOTSTRAP_SERVERS": bootstrap,
        "JETWORKER_KAFKA__SESSION_TIMEOUT": "6s",
        "JETWORKER_JET__BASE_URL": sandbox.base_url,
        "JETWORKER_JET__CLIENT_ID": "demo",
        "JETWORKER_JET__CLIENT_SECRET": "demo-secret",
        "JETWORKER_JET__REQUESTS_PER_SECOND": "100",
        "JETWORKER_POLLING__MIN_INTERVAL": "300ms",
        "JETWORKER_POLLING__MAX_INTERVAL": "2s",
        "JETWORKER_STARTS__SETTLE": "3s",
        "JETWORKER_EVENTS__PROGRESS_INTERVAL": "1s",
        "JETWORKER_HTTP__HOST": "127.0.0.1",
        "JETWORKER_HTTP__PORT": "0",
    }


class Process:
    """One worker process and its log."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log
        self.started_at = time.time()

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()

    async def stop(self) -> None:
        """SIGTERM, and wait."""
        if self._process.returncode is None:
            self._process.terminate()
        await self._process.wait()

    def says(self, text: str) -> bool:
        """Whether its log has a line with *text*; raises KafkaUnavailable if it died."""
        log = self._log.read_text()
        if self._process.returncode not in (None, -9):
            msg = f"a worker left: {log[-500:]}"
            raise KafkaUnavailable(msg)
        return text in log

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.returncode is None

    def port(self) -> int:
        """Return where it serves its page."""
        return next(
            int(said["port"])
            for said in map(json.loads, self._log.read_text().splitlines())
            if "port" in said
        )

    def restores(self) -> list[float]:
        """Return when it restored partitions, as seconds since the epoch."""
        return [
            _seconds(json.loads(line)["ts"])
            for line in self._log.read_text().splitlines()
            if '"a partition is restored' in line
        ]


class Stage:
    """The worker processes; none outlives it."""

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        self._folder = folder
        self._environ = environ
        self._workers: list[Process] = []

    async def __aenter__(self) -> Self:
        """Nothing runs yet."""
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Stop every worker."""
        await asyncio.gather(*(worker.stop() for worker in self._workers))

    async def start(self) -> Process:
        """Start a worker and wait until it takes commands."""
        log = self._folder / f"worker-{len(self._workers)}.log"
        with log.open("wb") as stderr:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "jetworker", "run",
                env=self._environ, stderr=stderr,
            )  # fmt: skip
        worker = Process(process, log)
        self._workers.append(worker)
        deadline = time.monotonic() + _READY_WITHIN
        while not worker.says("partitions were assigned"):
            if time.monotonic() > deadline:
                msg = f"a worker did not become ready: {log.read_text()[-500:]}"
                raise KafkaUnavailable(msg)
            await asyncio.sleep(0.05)
        return worker

    def pages(self) -> list[str]:
        """Return the addresses of the status pages of the workers that run."""
        ports = [worker.port() for worker in self._workers if worker.is_running]
        return [f"http://127.0.0.1:{port}/" for port in ports]

    async def set_paused(self, name: str, *, paused: bool) -> None:
        """Pause or resume a job, as a person at Jet's console would."""
        async with jet_client(settings.load(self._environ), self._environ) as jet:
            jobs = [job for job in (await jet.list_jobs()).items if job.name == name]
            await jet.set_paused(jobs[0].job_id, paused=paused)

    def restored_at(self, killed: float) -> float:
        """Return the seconds from a kill (monotonic) to the last restore."""
        wall = time.time() - (time.monotonic() - killed)
        restores = [at for worker in self._workers for at in worker.restores()]
        return max((at - wall for at in restores), default=0.0)


async def follow(
    config: Config, events: list[ReadEvent], listening: asyncio.Event
) -> None:
    """Collect every event, for ever."""
    async for event in tail(config, None, listening):
        events += [event]  # as they come: others look at the list meanwhile


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
