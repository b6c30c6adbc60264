"""What `jetworker resend` publishes, and what it refuses to."""

from dataclasses import dataclass, replace
from typing import Any, cast

import pytest

from jetworker.cli import publish
from jetworker.cli.publish import MayBePublished, publish_all
from jetworker.cli.resend import NotResendable, _failed, _publish, _records
from jetworker.core.command import (
    CommandId,
    JobId,
    ObjectSpec,
    RouteName,
    Send,
    TransferId,
)
from jetworker.core.delivery import State
from jetworker.core.errors import StoreError
from jetworker.core.finished import finish
from jetworker.core.observation import JetDelivery, JetFile, Listed, Progress, Tally
from jetworker.jet.client import JetClient
from tests.cli.test_ui_follow import CONFIG
from tests.support.builders import DELIVERY, NOW, a_delivery
from tests.support.taking import TakesSome


def a_send(command_id: str = "bad") -> Send:
    objects = (ObjectSpec("/a", None, is_directory=False),)
    return Send(CommandId(command_id), RouteName("r"), objects, b"f")


def test_a_new_command_has_the_next_free_number() -> None:
    taken = frozenset({"bad", "bad-2", "bad-4"})

    records, told = _records(CONFIG, [a_send(), a_send()], taken, None)

    assert [record.key for record in records] == [b"bad-3", b"bad-5"]
    assert [each["resent_as"] for each in told] == ["bad-3", "bad-5"]


@pytest.mark.parametrize("name", ["bad", "other"])
def test_an_id_that_is_taken_is_refused_and_nothing_is_said_to_be_sent(
    name: str,
) -> None:
    """A worker would answer duplicate or conflict, and nothing would be sent."""
    taken = frozenset({"bad", "other"})

    with pytest.raises(NotResendable, match=f"^--id: {name} is taken already"):
        _records(CONFIG, [a_send()], taken, name)
    (record,), _ = _records(CONFIG, [a_send()], taken, "mine")
    assert record.key == b"mine"


async def test_a_resend_that_kafka_answers_in_part_names_what_may_be_published(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Repeated as it was, it would send what was published once more, as the next -3."""
    sends = [a_send("a"), a_send("b")]
    records, _ = _records(CONFIG, sends, frozenset({"a", "b"}), None)

    monkeypatch.setattr(publish, "AIOKafkaProducer", TakesSome(takes=1))
    with pytest.raises(StoreError) as told:
        await _publish(CONFIG, records)
    assert "a-2, b-2 may be published" in str(told.value)
    assert "--id" in str(told.value)

    monkeypatch.setattr(publish, "AIOKafkaProducer", TakesSome(takes=-1))
    with pytest.raises(StoreError) as told:
        await publish_all(CONFIG, records)
    assert not isinstance(told.value, MayBePublished)


FIRST, SECOND = TransferId("t-1"), TransferId("t-2")
FILES = (
    JetFile("s3://a/first.mov", FIRST, "FAILED"),
    JetFile("s3://a/first.mov", SECOND, "COMPLETED"),
    JetFile("s3://a/second.mov", SECOND, "FAILED"),
)


@dataclass
class FakeJet:
    """Shows a delivery of two transfers, of which one object has failed in the end."""

    files: Listed[JetFile]

    async def get_delivery(self, *_: Any) -> JetDelivery:
        progress = Progress(Tally(1), failed=Tally(1))
        ids = FIRST, SECOND
        return JetDelivery(DELIVERY, "COMPLETED", NOW, progress, ids)

    async def list_files(self, _job_id: JobId) -> Listed[JetFile]:
        return self.files


async def test_the_failed_ones_alone_are_sent_only_where_jet_shows_all_files() -> None:
    """
    The first was moved when it was tried again, and the second was not.

    A list that is cut behind the first names one, and Jet counts one: the wrong one.
    """
    objects = (ObjectSpec("/first.mov"), ObjectSpec("/second.mov"))
    send = replace(a_send(), objects=objects)
    finished = finish(a_delivery(State.FAILED))
    whole = cast("JetClient", FakeJet(Listed(FILES, 3)))
    cut = cast("JetClient", FakeJet(Listed(FILES[:1], 1, has_more=True)))

    assert await _failed(whole, finished, send) == objects[1:]
    with pytest.raises(NotResendable) as refused:
        await _failed(cut, finished, send)
    assert str(refused.value) == (
        "c-1: Jet shows only a part of the job's files: resend all without --failed-only"
    )
