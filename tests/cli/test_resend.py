"""What `jetworker resend` publishes, and what it refuses to."""

import pytest

from jetworker.cli import publish
from jetworker.cli.publish import MayBePublished, publish_all
from jetworker.cli.resend import NotResendable, _publish, _records
from jetworker.core.command import CommandId, ObjectSpec, RouteName, Send
from jetworker.core.errors import StoreError
from tests.cli.test_ui_follow import CONFIG
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
