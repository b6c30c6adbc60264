"""
The process between an owner and its Kafka: when the owner is gone, so is Kafka.

`python -m jetworker.sandbox.kafka.owner LOG LEFTOVER COMMAND...` starts the command,
prints its process id, and kills it when standard input ends. That end comes also when
the owner is killed: then the kernel closes its side of the pipe. A child that the owner
forked may hold that side open, so the parent's process id is watched too.

Nothing ends this process and leaves Kafka behind: it is in a session of its own, where
no terminal's signal reaches it; a signal sent to it ends Kafka first; and on Linux the
kernel kills Kafka when this process is killed. LEFTOVER is a folder to remove if the
owner is gone and cannot do it, or empty.
"""

import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from threading import Event, Thread

_PR_SET_PDEATHSIG = 1
_LOOK = 1.0  # seconds


def main() -> None:
    """Start the command, and end it with the owner."""
    owner = os.getppid()
    log, leftover, *command = sys.argv[1:]
    with Path(log).open("ab") as output:
        child = subprocess.Popen(  # noqa: S603 -- the command is our own
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=partial(_die_with, os.getpid()),  # noqa: PLW1509 -- one thread
        )
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: child.kill())
    sys.stdout.write(f"{child.pid}\n")
    sys.stdout.flush()
    is_gone = Event()
    Thread(target=_watch, args=(child, owner, is_gone), daemon=True).start()
    code = child.wait()
    if leftover and (is_gone.is_set() or not _is_owned(owner)):
        shutil.rmtree(leftover, ignore_errors=True)
    # Leave at once: the watching thread still holds standard input.
    os._exit(code & 0x7F)


def _die_with(supervisor: int) -> None:
    """Ask Linux to kill this process when the supervisor ends, however it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if not _is_owned(supervisor):  # it ended before the kernel was asked
            os._exit(1)


def _watch(child: "subprocess.Popen[bytes]", owner: int, is_gone: Event) -> None:
    while _is_owned(owner):
        readable, _, _ = select.select([sys.stdin], [], [], _LOOK)
        if readable and not os.read(sys.stdin.fileno(), 1):
            break
    is_gone.set()
    child.kill()


def _is_owned(owner: int) -> bool:
    return os.getppid() == owner


if __name__ == "__main__":
    main()
