"""The audit's history: snapshots are judged by the events of the same moment."""

from types import SimpleNamespace

from jetworker.cli.audit import compose
from jetworker.wire import snapshots
from tests.support.builders import a_delivery

DELIVERY = a_delivery()
OLD = SimpleNamespace(
    key=DELIVERY.command_id.encode(), value=snapshots.encode(DELIVERY)
)
GONE = SimpleNamespace(key=OLD.key, value=None)


def test_a_snapshot_that_stayed_behind_is_judged_and_one_that_moved_on_is_not() -> None:
    stayed = compose([OLD], [], [], [], {}, later=[OLD])
    moved_on = compose([OLD], [], [], [], {}, later=[OLD, GONE])

    assert [*stayed.snapshots] == [DELIVERY.command_id]
    assert moved_on.moving == {"c-1"}
    assert not stayed.moving
