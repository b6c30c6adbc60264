"""A partition that an earlier version left is taken up where it was left, for good."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from jetworker.core.command import CommandId
from jetworker.core.delivery import Delivery, Reason, ReasonCode, State
from jetworker.core.finished import Finished, Remembered
from jetworker.kafka.reader import keep
from jetworker.wire.snapshots import Snapshot
from tests.support import stored_state
from tests.support.fakes import HandClock, Written
from tests.support.life import Life

_CLOCK = HandClock()
_FORGOTTEN = CommandId("forgotten")


async def _restore(version: str) -> Life:
    latest: dict[bytes, bytes] = {}
    for key, value in stored_state.records(version):
        keep(latest, key, value)
    restored = Life()
    await restored.partition.restore(latest)
    return restored


@pytest.mark.parametrize("version", stored_state.versions())
async def test_a_restored_partition_knows_all_that_was_known(version: str) -> None:
    restored = await _restore(version)

    stories = stored_state.SNAPSHOTS[version].values()
    left = [each for each in stories if each.command_id != _FORGOTTEN]
    assert restored.partition.deliveries == {
        each.command_id: _placed(each) for each in left if isinstance(each, Delivery)
    }
    assert {
        each.command_id: restored.partition.known(each.command_id)
        for each in stories
        if isinstance(each, Finished)
    } == {
        each.command_id: _remembered(each)
        for each in stories
        if isinstance(each, Finished)
    }
    seen = restored.sweep.seen
    assert [each for each in left if _is_of_use(each) and each not in seen] == []
    assert [each for each in seen if each not in left] == []
    assert len({each.command_id for each in seen}) == len(seen)
    assert restored.store.writes == []


@pytest.mark.parametrize("version", stored_state.versions())
async def test_each_is_gone_on_with_where_it_was_left(version: str) -> None:
    restored = await _restore(version)

    await restored.partition.resume()
    await asyncio.sleep(0)  # what is durable is performed

    assert restored.starter.taken == _in(
        version, State.ACCEPTED, State.WAITING, State.CLEARED
    )
    assert restored.follower.taken == _in(version, State.STARTED, State.IN_PROGRESS)
    lost = _in(version, State.STARTING)
    assert restored.reconciler.taken == [
        *_in(version, State.UNCERTAIN, State.HELD),
        *lost,
    ]
    assert restored.snapshots == [
        _in_doubt(stored_state.SNAPSHOTS[version][command_id]) for command_id in lost
    ]
    startable = len(restored.starter.taken)
    assert restored.partition.unstarted == startable
    uncounted = _in(version, State.ACCEPTED, State.WAITING)
    assert restored.counts.total == len(restored.partition.deliveries) - len(uncounted)


def _is_of_use(snapshot: Snapshot) -> bool:
    """Whether it is to be noted: it is open, was in doubt, or testifies on its job."""
    if isinstance(snapshot, Delivery) or snapshot.doubted_at is not None:
        return True
    is_whole = snapshot.state is State.COMPLETED and not snapshot.folders
    return is_whole and snapshot.made_in is not None


def _remembered(finished: Finished) -> Remembered | None:
    if finished.command_id == _FORGOTTEN:
        return None
    to_a_second = timedelta(microseconds=-finished.finished_at.microsecond % 1_000_000)
    return Remembered(
        finished.fingerprint[:8],
        finished.state,
        finished.finished_at + to_a_second,
        finished.delivery_id,
    )


def _in(version: str, *states: State) -> list[CommandId]:
    """Return those that were left in one of *states*, in the order of their writing."""
    stories = stored_state.SNAPSHOTS[version].values()
    return [each.command_id for each in stories if each.state in states]


def _placed(delivery: Delivery) -> Delivery:
    """Return it with the partition of its events, where its snapshot does not say it."""
    if delivery.told_on is not None:
        return delivery
    return replace(delivery, told_on=Written().told_on_before(delivery.command_id))


def _in_doubt(starting: Snapshot) -> Delivery:
    """Return what becomes of a start whose sender did not live to tell."""
    assert isinstance(starting, Delivery)
    starting = _placed(starting)
    message = "the worker that sent the start did not live to tell"
    return replace(
        starting,
        state=State.UNCERTAIN,
        published=State.UNCERTAIN,
        sequence=starting.sequence + 1,
        reason=Reason(ReasonCode.START_UNKNOWN, message),
        doubted_at=_CLOCK.now(),
    )
