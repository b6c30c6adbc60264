"""What `jetworker dead-letters replay` does with a letter that has no way back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from jetworker.cli import dead_letters
from jetworker.cli.dead_letters import Chosen, replay
from jetworker.cli.exit_codes import FAILED
from jetworker.wire.dead_letters import Letter, Position
from tests.cli.test_ui_follow import CONFIG
from tests.support.builders import NOW


def a_letter(offset: int, partition: int, topic: str = "jet.commands") -> Letter:
    at = Position(0, offset)
    return Letter(
        *(at, NOW, "unknown_route", "no such route", topic, partition, 7),
        *(b"c-1", b"{}", (), None),
    )


@dataclass
class FakeKafka:
    """Has one partition of each topic, and takes what is sent there."""

    sent: list[tuple[str, int | None]] = field(default_factory=list)
    committed: int = 0

    def __call__(self, *_: Any) -> "FakeKafka":
        return self

    @asynccontextmanager
    async def producer(self, _transactional_id: str) -> AsyncIterator["FakeKafka"]:
        yield self

    async def count(self, _producer: "FakeKafka", topic: str) -> int:
        return 0 if topic == "gone" else 1

    async def begin_transaction(self) -> None:
        self.sent.clear()

    async def send_and_wait(
        self, topic: str, *_: Any, partition: int | None, **__: Any
    ) -> Any:
        assert partition == 0, "Unrecognized partition"  # as aiokafka
        self.sent.append((topic, partition))
        return SimpleNamespace(topic=topic, partition=partition, offset=9)

    async def commit_transaction(self) -> None:
        self.committed += len(self.sent)


async def test_a_letter_whose_partition_is_gone_keeps_no_other_from_its_replay(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The topic was made anew, with fewer partitions than it had, or is gone."""
    kafka = FakeKafka()
    letters = [
        a_letter(3, partition=5),
        a_letter(4, partition=0),
        a_letter(5, partition=-1),
        a_letter(6, partition=0, topic="gone"),
    ]

    async def box(_config: object) -> Any:
        return dead_letters._Box(list(letters))  # noqa: SLF001 -- what Kafka would hold

    monkeypatch.setattr(dead_letters, "KafkaClients", kafka)
    monkeypatch.setattr(dead_letters, "_read", box)

    code = await replay(CONFIG, Chosen(), dry_run=False, yes=True, as_json=False)

    said = capsys.readouterr()
    assert code == FAILED
    assert "replayed: 1\n" in said.out
    assert kafka.sent == [("jet.commands", 0), ("jet.dead-letters", 0)]
    assert said.err == (
        "jetworker: 0:3 is left as it is: jet.commands has no partition 5 any more\n"
        "jetworker: 0:5 is left as it is: jet.commands has no partition -1 any more\n"
        "jetworker: 0:6 is left as it is: there is no topic gone\n"
    )
