"""`jetworker demo --keep`: what it prints works as printed, and Ctrl-C ends it cleanly."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

CACHES = {n: v for n, v in os.environ.items() if n in {"HOME", "XDG_CACHE_HOME"}}


@dataclass(frozen=True)
class Kept:
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


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "jetworker", "demo", "--keep"),
        env={**os.environ, "TMPDIR": str(tmp_path)},
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
        yield Kept(process, lines)
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def in_a_new_shell(line: str) -> tuple[int | None, str]:
    """Run a line where nothing of ours is set; returns its code, and what it said."""
    process = await _started(line)
    said, _ = await asyncio.wait_for(process.communicate(), 120)
    return process.returncode, said.decode()


async def until_it_tells(line: str, meanwhile: str) -> tuple[int | None, str]:
    """Run a line that never ends by itself, and another until it tells of that one."""
    process = await _started(line)
    assert process.stdout is not None
    told = asyncio.create_task(process.stdout.readline())
    while not told.done():
        await in_a_new_shell(meanwhile)
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


async def test_every_line_that_the_kept_demo_prints_works_and_ctrl_c_ends_it(
    kept: Kept,
) -> None:
    pages = kept.under("status pages")
    exports = kept.under("a shell of your own")
    *commands, watch = kept.under("in another terminal")

    ran = [(line, *await in_a_new_shell(line)) for line in commands]
    ran.append((watch, *await until_it_tells(watch, meanwhile=commands[0])))
    own = " && ".join([*exports, "jetworker resend half --failed-only --id again"])
    ran.append((own, *await in_a_new_shell(own)))
    async with httpx.AsyncClient(trust_env=False) as client:
        shown = [await client.get(page) for page in pages]

    assert [(line, code, said) for line, code, said in ran if code != 0] == []
    assert ran[-1][2] == "again\n"
    assert {"send", "list", "explain", "check", "watch"} <= {
        word for line, *_ in ran for word in line.split()
    }
    assert [page.status_code for page in shown] == [200, 200]
    assert await kept.interrupt() == 0
