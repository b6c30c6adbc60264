"""By which states deliveries are listed."""

from jetworker.core.delivery import State
from jetworker.wire.listed_state import ListedState


def test_deliveries_are_listed_by_every_state_that_is_told_and_by_no_inner_one() -> (
    None
):
    inner = {State.CLEARED, State.STARTING}

    assert {each.value for each in ListedState} == {
        each.value for each in State if each not in inner
    }
