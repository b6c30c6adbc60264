"""A real Apache Kafka in a child process, for the demo and the tests; no Java needed."""

import base64
import fcntl
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from jetworker.core.errors import ConfigurationError, KafkaUnavailable
from jetworker.sandbox.kafka import jars as kafka_jars

# A Metadata request, version 1, about no topic: size, key 3, version 1, correlation id,
# client id, topics. The answer begins with its size, the correlation id and the number
# of brokers that take requests: only then can a topic be created.
_HELLO = bytes.fromhex("0000000e 0003 0001 00000001 0000 00000000".replace(" ", ""))
_ANSWER = 12
# Below the ports that systems give to connecting clients: those could take a broker's
# port while it is being restarted.
_PORTS = range(20_000, 32_000)


def answers(port: int) -> bool:
    """Return whether a broker there answers the protocol, and takes requests."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(_HELLO)
            answer = connection.recv(_ANSWER, socket.MSG_WAITALL)
    except OSError:
        return False
    return len(answer) == _ANSWER and answer[8:] != b"\0\0\0\0"


def free_ports() -> tuple[int, int]:
    """Return two that nobody listens on."""
    free: list[int] = []
    while len(free) < 2:  # noqa: PLR2004 -- the broker's and the controller's
        port = random.choice(_PORTS)  # noqa: S311 -- nothing is secret here
        if port not in free and _is_free(port):
            free.append(port)
    return free[0], free[1]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As Java does: a port whose last connections still linger is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


_READY_WITHIN = 60.0  # seconds
_CLUSTER = "amV0d29ya2VyLXNhbmRib3g"
_NODE = "1"
_JAVA_OPTIONS = (
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Dorg.apache.logging.log4j.level=WARN",
)


class EmbeddedKafka:
    """
    One broker on free loopback ports, with its own or a given data folder.

    *settings* are Kafka's names and replace ours, *version* is Kafka's. It ends with its
    owner, also when the owner is killed. Raises ConfigurationError if its parts are not
    installed or its data folder or a port is in use, KafkaUnavailable if it does not
    come up.
    """

    def __init__(
        self,
        data: Path | None = None,
        settings: Mapping[str, str] | None = None,
        ports: tuple[int, int] | None = None,
        version: str = kafka_jars.VERSION,
    ) -> None:
        self._given = data
        self._made: Path | None = None
        self._settings = settings or {}
        self._version = version
        self._port, self._controller = ports or free_ports()
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

    @property
    def log(self) -> Path:
        """The file that takes the broker's output."""
        return self._data / "kafka.log"

    @property
    def _data(self) -> Path:
        if self._given is not None:
            return self._given
        if self._made is None:
            self._made = Path(tempfile.mkdtemp(prefix="jetworker-kafka-"))
        return self._made

    def __enter__(self) -> Self:
        """Start the broker and wait until it answers."""
        with ExitStack() as undo:
            undo.callback(self._end)
            self.start()
            undo.pop_all()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Stop the broker and remove a temporary data folder."""
        self._end()

    def _end(self) -> None:
        self.stop()
        if self._made is not None:
            shutil.rmtree(self._made, ignore_errors=True)
            self._made = None

    def start(self) -> None:
        """Start the broker on its ports and data, and wait until it answers."""
        java, jars = str(kafka_jars.java()), kafka_jars.class_path(self._version)
        command = [java, *_JAVA_OPTIONS, "-cp", jars]
        self._data.mkdir(parents=True, exist_ok=True)
        with (self._data / "lock").open("a") as lock:
            _take(lock)
            self._make_sure_of_ports()
            properties = self._data / "server.properties"
            properties.write_text(self._properties())
            if not (self._data / "logs" / "meta.properties").exists():
                self._format([*command, "kafka.tools.StorageTool"], properties)
            self._launch([*command, "kafka.Kafka", str(properties)], lock)
        self._await_answer()

    def _make_sure_of_ports(self) -> None:
        """Whoever listens there would answer in our broker's place, and it would end."""
        for port in (self._port, self._controller):
            if not _is_free(port):
                msg = f"port {port} is in use: stop who listens there, or name another"
                raise ConfigurationError(msg)

    def _launch(self, command: list[str], lock: IO[str]) -> None:
        """Start Kafka's supervisor, which keeps the lock for as long as it lives."""
        supervisor = [sys.executable, "-m", "jetworker.sandbox.kafka.owner"]
        self._owner = subprocess.Popen(  # noqa: S603 -- our own module
            [*supervisor, str(self.log), str(self._made or ""), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            pass_fds=[lock.fileno()],
        )
        assert self._owner.stdout is not None
        self._pid = int(self._owner.stdout.readline())

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
            # First the end, then the pipe: a pipe that closes says the owner is gone.
            if self._pid:
                self._owner.wait()
            self._owner.stdin.close()
            self._owner.wait()
            self._owner.stdout.close()
        self._owner, self._pid = None, 0

    def _format(self, tool: list[str], properties: Path) -> None:
        """
        Prepare the storage.

        What Kafka's tool writes depends on its version only, but for the ids: it is
        kept and copied from then on, for starting Java costs seconds.
        """
        kept, logs = kafka_jars.bootstrap(self._version), self._data / "logs"
        if not kept.is_file():
            self._format_by(tool, properties)
            with suppress(OSError):  # next time then
                kafka_jars.keep(logs / kept.name, kept)
            return
        logs.mkdir()
        shutil.copyfile(kept, logs / kept.name)
        directory = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        (logs / "meta.properties").write_text(
            f"version=1\ncluster.id={_CLUSTER}\n"
            f"node.id={self._settings.get('node.id', _NODE)}\n"
            f"directory.id={directory}\n"
        )

    def _format_by(self, tool: list[str], properties: Path) -> None:
        arguments = ["format", "-t", _CLUSTER, "-c", str(properties)]
        done = subprocess.run(  # noqa: S603 -- our own command line
            [*tool, *arguments], capture_output=True, text=True, check=False
        )
        if done.returncode:
            msg = f"Kafka's storage could not be formatted: {done.stderr[-500:]}"
            raise KafkaUnavailable(msg)

    def _await_answer(self) -> None:
        deadline = time.monotonic() + _READY_WITHIN
        while not answers(self._port):
            assert self._owner is not None
            if self._owner.poll() is not None or time.monotonic() > deadline:
                tail = self.log.read_text(errors="replace")[-1000:]
                msg = f"Kafka did not come up, see {self.log}: {tail}"
                self.kill()
                raise KafkaUnavailable(msg)
            time.sleep(0.05)

    def _properties(self) -> str:
        plain = f"PLAINTEXT://127.0.0.1:{self._port}"
        settings = {
            "process.roles": "broker,controller",
            "node.id": _NODE,
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
        settings |= self._settings
        return "".join(f"{name}={value}\n" for name, value in settings.items())


def _take(lock: IO[str]) -> None:
    """Make sure that the folder is ours: Kafka's own lock comes after its first write."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        folder = Path(lock.name).parent
        msg = f"{folder} is in use by another Kafka: stop it, or name another folder"
        raise ConfigurationError(msg) from exc
