"""A real Apache Kafka in a child process, for the demo and the tests; no Java needed."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from jetworker.errors import KafkaUnavailable
from jetworker.sandbox import kafka_jars

_READY_WITHIN = 60.0
_CLUSTER = "amV0d29ya2VyLXNhbmRib3g"
_JAVA_OPTIONS = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
# An ApiVersions request, version 0: size, key 18, version 0, correlation id, client id.
_HELLO = bytes.fromhex("0000000a 0012 0000 00000001 0000".replace(" ", ""))


class EmbeddedKafka:
    """
    One broker on free loopback ports, with its own or a given data folder.

    It ends with its owner, also when the owner is killed. Raises ConfigurationError
    if its parts are not installed, KafkaUnavailable if it does not come up.
    """

    def __init__(self, data: Path | None = None) -> None:
        self._temporary = tempfile.TemporaryDirectory() if data is None else None
        self._data = Path(self._temporary.name) if self._temporary else Path(data or "")
        self._port, self._controller = _free_ports()
        self._owner: subprocess.Popen[bytes] | None = None
        self._pid = 0

    @property
    def bootstrap_servers(self) -> str:
        """Where clients connect."""
        return f"127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        """The broker's process id."""
        return self._pid

    def __enter__(self) -> Self:
        """Start the broker and wait until it answers."""
        self.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Stop the broker and remove a temporary data folder."""
        self.stop()
        if self._temporary is not None:
            self._temporary.cleanup()

    def start(self) -> None:
        """Start the broker on its ports and data, and wait until it answers."""
        java, jars = str(kafka_jars.java()), kafka_jars.class_path()
        command = [java, *_JAVA_OPTIONS, "-cp", jars]
        self._data.mkdir(parents=True, exist_ok=True)
        properties = self._data / "server.properties"
        properties.write_text(self._properties())
        if not (self._data / "logs" / "meta.properties").exists():
            self._format([*command, "kafka.tools.StorageTool"], properties)
        owner = [sys.executable, "-m", "jetworker.sandbox.kafka_owner"]
        log = str(self._data / "kafka.log")
        self._owner = subprocess.Popen(  # noqa: S603 -- our own module
            [*owner, log, *command, "kafka.Kafka", str(properties)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._owner.stdout is not None
        self._pid = int(self._owner.stdout.readline())
        self._await_answer()

    def stop(self) -> None:
        """Stop the broker; its data stays."""
        if self._owner is None:
            return
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGTERM)
        try:
            self._owner.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
        self._reap()

    def kill(self) -> None:
        """Kill the broker as a power cut would."""
        self._signal(signal.SIGKILL)
        self._reap()

    def restart(self) -> None:
        """Kill the broker and start it again on the same ports and data."""
        self.kill()
        self.start()

    def freeze(self) -> None:
        """Stop the broker's process where it is."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen broker go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._pid and self._owner is not None and self._owner.poll() is None:
            os.kill(self._pid, number)

    def _reap(self) -> None:
        if self._owner is not None:
            assert self._owner.stdin is not None
            assert self._owner.stdout is not None
            self._owner.stdin.close()
            self._owner.stdout.close()
            self._owner.wait()
        self._owner, self._pid = None, 0

    def _format(self, tool: list[str], properties: Path) -> None:
        arguments = ["format", "-t", _CLUSTER, "-c", str(properties)]
        done = subprocess.run(  # noqa: S603 -- our own command line
            [*tool, *arguments], capture_output=True, text=True, check=False
        )
        if done.returncode:
            msg = f"Kafka's storage could not be formatted: {done.stderr[-500:]}"
            raise KafkaUnavailable(msg)

    def _await_answer(self) -> None:
        deadline = time.monotonic() + _READY_WITHIN
        while not _answers(self._port):
            assert self._owner is not None
            if self._owner.poll() is not None or time.monotonic() > deadline:
                tail = (self._data / "kafka.log").read_text(errors="replace")[-1000:]
                msg = f"Kafka did not come up: {tail}"
                self.kill()
                raise KafkaUnavailable(msg)
            time.sleep(0.05)

    def _properties(self) -> str:
        plain = f"PLAINTEXT://127.0.0.1:{self._port}"
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{self._controller}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"{plain},CONTROLLER://127.0.0.1:{self._controller}",
            "advertised.listeners": plain,
            "log.dirs": str(self._data / "logs"),
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "4",
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "1000",
            "broker.session.timeout.ms": "2000",  # a killed one may soon be back
            "broker.heartbeat.interval.ms": "500",
            "auto.create.topics.enable": "false",
            "log.cleaner.backoff.ms": "1000",
            "log.cleaner.dedupe.buffer.size": "8388608",
        }
        return "".join(f"{name}={value}\n" for name, value in settings.items())


def _answers(port: int) -> bool:
    """Whether a broker there answers the protocol, not only the connection."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(_HELLO)
            return len(connection.recv(4)) == 4  # noqa: PLR2004 -- the answer's size
    except OSError:
        return False


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]
