"""
Processes of jetworker, and of its simulation, that begin with everything imported.

Importing takes a second of CPU, most of what a command of the command line takes, and
the tests start some hundreds of them. So one process imports it all, once for each
process of the tests, and forks itself for each that a test asks for: from then on it is
a process like any other, with an environment, outputs, signals and an exit code of its
own. What is said of a start from nothing is tested with one.
"""

import asyncio
import atexit
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any

PIPE, STDOUT = subprocess.PIPE, subprocess.STDOUT
UNSEEN = frozenset({"PYTHONPATH", "PYTHONHASHSEED", "PYTHONUTF8", "PYTHONWARNINGS"})
_ROOT = Path(__file__).parents[2]
_LONGEST = 1 << 18  # bytes of a request
_NUMBER = 4  # bytes of a process id, and of a status


@dataclass(frozen=True)
class Forker:
    """The module that imports a program and forks (`is_forked`), and its environment."""

    module: str
    environ: tuple[tuple[str, str], ...] = ()


_JETWORKER = Forker("tests.support.forked")


class Process:
    """What an `asyncio.subprocess.Process` is, forked elsewhere."""

    def __init__(self, pid: int, told: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stdout: asyncio.StreamReader | None = None
        self.stderr: asyncio.StreamReader | None = None
        self._told = told
        self._ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(told, self._end)

    def _end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._told)
        status = int.from_bytes(os.read(self._told, _NUMBER), "big")
        os.close(self._told)
        self.returncode = os.waitstatus_to_exitcode(status)
        self._ended.set()

    async def wait(self) -> int:
        """Wait for its end; returns the exit code."""
        await self._ended.wait()
        assert self.returncode is not None
        return self.returncode

    async def communicate(self) -> tuple[bytes, bytes]:
        """Read all that it says, and wait for its end."""
        said = await asyncio.gather(_all(self.stdout), _all(self.stderr))
        await self.wait()
        return said

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


async def _all(stream: asyncio.StreamReader | None) -> bytes:
    return await stream.read() if stream is not None else b""


async def start(
    *arguments: str,
    env: Mapping[str, str],
    stdin: int = subprocess.DEVNULL,
    stdout: int | IO[bytes] | None = None,
    stderr: int | IO[bytes] | None = None,
    cwd: Path | None = None,
    forker: Forker = _JETWORKER,
) -> Process:
    """
    Start `jetworker` with these arguments, as `asyncio.create_subprocess_exec` does.

    It reads a descriptor or nothing, and writes to a pipe, a file or where we do. What
    Python itself looks at before the program (*UNSEEN*) would do nothing: it may not be
    there. *forker* makes its forks another program.
    """
    assert not UNSEEN & env.keys(), (
        "start it from nothing: a fork does not look at these"
    )
    request = {"arguments": arguments, "env": dict(env), "cwd": str(cwd or Path.cwd())}
    ours, theirs = os.pipe()
    nothing = os.open(os.devnull, os.O_RDONLY)
    out, said = _output(stdout, 1)
    err, complained = (out, None) if stderr == STDOUT else _output(stderr, 2)
    fds = [nothing if stdin == subprocess.DEVNULL else stdin, out, err, theirs]
    socket.send_fds(_server(forker), [json.dumps(request).encode()], fds)
    os.close(theirs)
    os.close(nothing)
    if said is not None:
        os.close(out)
    if complained is not None:
        os.close(err)
    pid = int.from_bytes(await asyncio.to_thread(os.read, ours, _NUMBER), "big")
    process = Process(pid, ours)
    process.stdout, process.stderr = await _reader(said), await _reader(complained)
    return process


def _output(wanted: int | IO[bytes] | None, usual: int) -> tuple[int, int | None]:
    """Return what is written to, and the other end if that is a pipe."""
    if wanted is None:
        return usual, None
    if wanted == PIPE:
        reading, writing = os.pipe()
        return writing, reading
    return (wanted if isinstance(wanted, int) else wanted.fileno()), None


async def _reader(fd: int | None) -> asyncio.StreamReader | None:
    if fd is None:
        return None
    stream = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(fd, "rb", 0)
    )
    return stream


@cache
def _server(forker: Forker) -> socket.socket:
    """Return the connection to the process that forks; it ends when this one does."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        subprocess.Popen(
            (sys.executable, "-m", forker.module, str(theirs.fileno())),
            cwd=_ROOT,
            env=os.environ | dict(forker.environ),
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        ).returncode = 0  # nobody waits for it
    atexit.register(ours.close)
    return ours


def main() -> None:
    """Import everything, and fork for every request; a fork goes on as `jetworker`."""
    package = importlib.import_module("jetworker.cli")
    for module in pkgutil.iter_modules(package.__path__, "jetworker.cli."):
        importlib.import_module(module.name)
    program = importlib.import_module("jetworker.__main__")
    if is_forked():
        sys.modules["__main__"] = program
        sys.argv[0] = str(program.__file__)
        program.main()


def is_forked() -> bool:
    """Fork for every request: True in a fork, and False when nobody can ask any more."""
    gc.collect()
    gc.freeze()
    requests = socket.socket(fileno=int(sys.argv[1]))
    woken, waking = os.pipe()
    os.set_blocking(waking, False)
    signal.set_wakeup_fd(waking)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    running: dict[int, int] = {}
    while True:
        readable, _, _ = select.select([requests.fileno(), woken], [], [])
        if woken in readable:
            os.read(woken, 64)
            _tell_ends(running)
        if requests.fileno() not in readable:
            continue
        said, fds, _, _ = socket.recv_fds(requests, _LONGEST, 4)
        if not said:
            return False
        *streams, told = fds
        pid = os.fork()
        if not pid:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _become(json.loads(said), streams)
            requests.detach()
            return True
        os.write(told, pid.to_bytes(_NUMBER, "big"))
        running[pid] = told
        for fd in streams:
            os.close(fd)


def _tell_ends(running: dict[int, int]) -> None:
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        told = running.pop(pid)
        with suppress(BrokenPipeError):
            os.write(told, status.to_bytes(_NUMBER, "big"))
        os.close(told)


def _become(request: dict[str, Any], streams: list[int]) -> None:
    """Take over what a new process is given."""
    for number, fd in enumerate(streams):
        os.dup2(fd, number)
    os.closerange(len(streams), os.sysconf("SC_OPEN_MAX"))
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv = [sys.argv[0], *request["arguments"]]
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, "utf-8", "backslashreplace", closefd=False)


if __name__ == "__main__":
    main()
