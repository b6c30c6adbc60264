"""One run of `jetworker demo --keep` for all tests that look at it: it is half a minute."""

import asyncio
import fcntl
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from pydantic import TypeAdapter

from jetworker.config.model import TopicsConfig
from tests.support.jet.fake_server import JetServer
from tests.support.system import System

CACHES = {n: v for n, v in os.environ.items() if n in {"HOME", "XDG_CACHE_HOME"}}


@dataclass(frozen=True)
class Written:
    """A record as it is in Kafka."""

    place: str
    key: str | None
    value: bytes
    headers: dict[str, str]

    @classmethod
    def of(cls, record: Any) -> "Written":
        """Take what matters of a consumer's record."""
        return cls(
            f"{record.topic}:{record.partition}:{record.offset}",
            record.key.decode() if record.key is not None else None,
            record.value,
            {name: value.decode() for name, value in record.headers},
        )


@dataclass(frozen=True)
class Shown:
    """
    All that it wrote, and what became of what it printed.

    *ran* are the printed lines with the exit code and the output of each, *pages* the
    statuses of the pages, *code* is how it ended on Ctrl-C.
    """

    commands: list[Written]
    events: list[Written]
    dead_letters: list[Written]
    ran: list[tuple[str, int | None, str]]
    pages: list[int]
    code: int


_KEPT = TypeAdapter(Shown)


def shown(folder: Path) -> Shown:
    """Return what a run shows; the first who asks runs it, and leaves it in *folder*."""
    kept = folder / "demo.json"
    with (folder / "demo.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            (folder / "demo").mkdir(exist_ok=True)
            kept.write_bytes(_KEPT.dump_json(asyncio.run(_show(folder / "demo"))))
        return _KEPT.validate_json(kept.read_bytes())


async def _show(folder: Path) -> Shown:
    async with _running(folder) as demo:
        text = "\n".join(demo.lines)
        assert "it all adds up" in text, text
        written = await _written(folder, text)
        pages = demo.under("status pages")
        exports = demo.under("a shell of your own")
        *commands, watch = demo.under("in another terminal")
        ran = [(line, *await _in_a_new_shell(line)) for line in commands]
        ran.append((watch, *await _until_it_tells(watch, meanwhile=commands[0])))
        own = " && ".join([*exports, "jetworker resend half --failed-only --id again"])
        ran.append((own, *await _in_a_new_shell(own)))
        async with httpx.AsyncClient(trust_env=False) as client:
            seen = [(await client.get(page)).status_code for page in pages]
        return Shown(*written, ran, seen, await demo.interrupt())


@dataclass(frozen=True)
class _Demo:
    """A demo that goes on running, and what it has printed."""

    process: asyncio.subprocess.Process
    lines: list[str]

    def under(self, heading: str) -> list[str]:
        """Return the lines that follow a heading and a blank line."""
        begin = next(n for n, line in enumerate(self.lines) if heading in line) + 2
        return self.lines[begin : self.lines.index("", begin)]

    async def interrupt(self) -> int:
        """Press Ctrl-C: a terminal sends it to all processes of the job."""
        os.killpg(self.process.pid, signal.SIGINT)
        await asyncio.wait_for(self.process.communicate(), 60)
        assert self.process.returncode is not None
        return self.process.returncode


@asynccontextmanager
async def _running(folder: Path) -> AsyncIterator[_Demo]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "jetworker", "demo", "--keep"),
        env={**os.environ, "TMPDIR": str(folder)},
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    lines: list[str] = []
    try:
        async with asyncio.timeout(200):
            while "Ctrl-C ends it" not in "".join(lines[-1:]):
                line = await process.stdout.readline()
                assert line, lines
                lines.append(line.decode().rstrip())
        yield _Demo(process, lines)
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def _written(
    folder: Path, text: str
) -> tuple[list[Written], list[Written], list[Written]]:
    """Read the commands, the events and the dead letters."""
    environ = dict(re.findall(r"export (JETWORKER_\w+)=(\S+)", text))
    servers = environ["JETWORKER_KAFKA__BOOTSTRAP_SERVERS"]
    system = System(servers, JetServer(), folder, "")  # to read with
    topics = TopicsConfig()

    async def read(topic: str) -> list[Written]:
        return [Written.of(each) for each in await system.read(topic)]

    try:
        return (
            await read(topics.commands),
            await read(topics.events),
            await read(topics.dead_letters),
        )
    finally:
        await system.close()


async def _in_a_new_shell(line: str) -> tuple[int | None, str]:
    """Run a line where nothing of ours is set; returns its code, and what it said."""
    process = await _started(line)
    said, _ = await asyncio.wait_for(process.communicate(), 120)
    return process.returncode, said.decode()


async def _until_it_tells(line: str, meanwhile: str) -> tuple[int | None, str]:
    """Run a line that never ends by itself, and another until it tells of that one."""
    process = await _started(line)
    assert process.stdout is not None
    told = asyncio.create_task(process.stdout.readline())
    while not told.done():
        await _in_a_new_shell(meanwhile)
    os.killpg(process.pid, signal.SIGINT)
    await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, told.result().decode()


async def _started(line: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *("sh", "-c", f"exec env {line}" if line.startswith("JETWORKER") else line),
        env={"PATH": "/usr/bin:/bin", **CACHES},
        cwd="/",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
