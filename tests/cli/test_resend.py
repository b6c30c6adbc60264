"""What `jetworker resend` publishes, and what it refuses to."""

import pytest

from jetworker.cli.resend import NotResendable, _records
from jetworker.core.command import CommandId, ObjectSpec, RouteName, Send
from tests.cli.test_ui_follow import CONFIG


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
