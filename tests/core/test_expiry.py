"""A command expires only as long as nothing was sent for it."""

from jetworker.core.delivery import is_expired
from tests.support.builders import NOW, SECOND, a_delivery


def test_a_delivery_expires_at_its_very_moment() -> None:
    delivery = a_delivery(expires_at=NOW)

    assert is_expired(delivery, NOW)
    assert not is_expired(delivery, NOW - SECOND)


def test_what_was_sent_once_never_expires() -> None:
    assert not is_expired(a_delivery(expires_at=NOW, attempt=1), NOW + SECOND)
