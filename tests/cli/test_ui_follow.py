"""What the page follows: one record that cannot be read hides itself alone, by name."""

from pathlib import Path

from pydantic import SecretStr
from structlog.testing import capture_logs

from jetworker.cli.ui.follow import TopicsFollower
from jetworker.config.model import Config, JetConfig, KafkaConfig
from jetworker.core.command import CommandId
from jetworker.wire import snapshots
from tests.support.builders import a_delivery
from tests.wire.test_rows import AKafkaRecord

CONFIG = Config(
    routes_file=Path("routes.yaml"),
    kafka=KafkaConfig(bootstrap_servers="nowhere:9092"),
    jet=JetConfig(client_id="test", client_secret=SecretStr("test")),
)
NEWER = b'{"v":9,"open":{}}'


def a_record(name: str, value: bytes | None, offset: int) -> AKafkaRecord:
    return AKafkaRecord(name.encode(), value, offset=offset)


def test_what_cannot_be_read_is_named_and_shown_no_more_until_it_can() -> None:
    follower = TopicsFollower(CONFIG)
    seen, take = follower.seen, follower._take_state  # noqa: SLF001 -- a record's way in
    readable = snapshots.encode(a_delivery(command_id=CommandId("a")))
    names = ["a", "b", "c", "d", "e", "f"]
    take(a_record("a", readable, 0))
    assert seen.installation.row("a") is not None

    with capture_logs() as logged:
        for number, name in enumerate(names):
            take(a_record(name, NEWER, 1 + number))

    assert seen.installation.row("a") is None
    assert list(seen.unreadable) == names
    assert seen.trouble == {}
    assert [line["command_id"] for line in logged] == ["a"]

    version = seen.version
    for number, name in enumerate(names[1:]):
        take(a_record(name, None, 7 + number))
    take(a_record("a", readable, 12))

    assert not seen.unreadable
    assert seen.version > version
    assert seen.installation.row("a") is not None
