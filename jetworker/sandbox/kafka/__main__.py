"""`python -m jetworker.sandbox.kafka`: a real Kafka to try things with, no Java needed."""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from jetworker.core.errors import JetworkerError
from jetworker.sandbox.kafka.broker import EmbeddedKafka, free_ports

_PORTS = range(1, 1 << 16)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one broker until SIGTERM or SIGINT; returns the exit code."""
    parser = argparse.ArgumentParser(
        "python -m jetworker.sandbox.kafka", description="One broker of Apache Kafka."
    )
    parser.add_argument("--port", type=int, default=9092)
    parser.add_argument("--data", type=Path, metavar="DIR", help="survive a restart")
    given = parser.parse_args(arguments)
    if given.port not in _PORTS:
        parser.error(f"--port: {given.port} is no port, 1 to {_PORTS[-1]}")
    stopping = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stopping)
    try:
        with EmbeddedKafka(given.data, ports=(given.port, free_ports()[1])) as kafka:
            sys.stdout.write(f"kafka ready {kafka.bootstrap_servers}\n")
            sys.stdout.flush()
            signal.sigwait(stopping)
    except JetworkerError as exc:
        sys.stderr.write(f"jetworker.sandbox.kafka: {exc}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
