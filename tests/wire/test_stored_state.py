"""What an earlier version wrote to the state topic is read by this one, for good."""

import pytest

from jetworker.core.delivery import Delivery, ReasonCode, State
from jetworker.core.finished import Finished
from jetworker.wire import snapshots
from tests.support import stored_state

_VERSIONS = stored_state.versions()


@pytest.mark.parametrize("version", _VERSIONS)
def test_a_stored_snapshot_means_what_it_meant(version: str) -> None:
    read = {
        key.decode(): snapshots.decode(value)
        for key, value in stored_state.records(version)
        if value is not None and not snapshots.is_own(key)
    }

    assert read == stored_state.SNAPSHOTS[version]


@pytest.mark.parametrize("version", _VERSIONS)
def test_a_stored_barrier_is_taken_for_no_snapshot(version: str) -> None:
    own = [each for each in stored_state.records(version) if snapshots.is_own(each[0])]

    assert own == [(b" barrier", b"{}")]


def test_a_change_of_what_is_written_is_stored_beside_what_was() -> None:
    """Fails where the format changes: keep the old file, add the new version's."""
    latest = _VERSIONS[-1]
    written = {
        key.encode(): snapshots.encode(snapshot)
        for key, snapshot in stored_state.SNAPSHOTS[latest].items()
    }
    stored = {
        key: value for key, value in stored_state.records(latest) if value is not None
    }

    assert written | {snapshots.BARRIER: b"{}"} == stored


def test_the_first_version_is_stored_in_every_state_and_with_every_reason() -> None:
    stories = stored_state.SNAPSHOTS["0.1.0"].values()

    assert {each.state for each in stories if isinstance(each, Delivery)} == {
        state for state in _STATES if not state.is_final
    }
    assert {each.state for each in stories if isinstance(each, Finished)} == {
        state for state in _STATES if state.is_final
    }
    assert {each.reason.code for each in stories if each.reason} == _REASONS


# Named one by one: what a later version adds is not in the first one's file.
_STATES = (
    State.ACCEPTED,
    State.WAITING,
    State.CLEARED,
    State.STARTING,
    State.UNCERTAIN,
    State.HELD,
    State.STARTED,
    State.IN_PROGRESS,
    State.COMPLETED,
    State.FAILED,
    State.CANCELLED,
)
_REASONS = {
    ReasonCode.JOB_PAUSED,
    ReasonCode.LIMIT,
    ReasonCode.JET_UNAVAILABLE,
    ReasonCode.UNAUTHORIZED,
    ReasonCode.JOB_UNAVAILABLE,
    ReasonCode.START_UNKNOWN,
    ReasonCode.HELD,
    ReasonCode.JET_FAILED,
    ReasonCode.JET_CANCELLED,
    ReasonCode.OBJECTS_FAILED,
    ReasonCode.REJECTED_BY_JET,
    ReasonCode.JOB_NOT_FOUND,
    ReasonCode.EXPIRED,
    ReasonCode.DELIVERY_NOT_FOUND,
    ReasonCode.ABANDONED,
    ReasonCode.DEADLINE_EXCEEDED,
}
