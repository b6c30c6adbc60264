"""Why an order has no answer yet: what a look at the group from outside can tell."""

import pytest

from jetworker.cli.unanswered import told
from jetworker.kafka.group_members import GroupView, Member, Share

ONE = Member("m-1", "10.0.0.1", (0, 1))
TWO = Member("m-2", "10.0.0.2", (2,))
SHARES = (Share(0, 5, 9), Share(1, 5, 5), Share(2, None, 4))


@pytest.mark.parametrize(
    ("group", "where", "said"),
    [
        (
            GroupView("Empty", (), SHARES),
            {(0, 8)},
            "no worker runs, the group g has no",
        ),
        (
            GroupView("PreparingRebalance", (ONE,), SHARES),
            {(0, 8)},
            "the group g is being dealt its partitions (PreparingRebalance)",
        ),
        (
            GroupView("Stable", (ONE,), SHARES),
            {(0, 8), (2, 3)},
            "no worker has partition 2",
        ),
        (
            GroupView("Stable", (ONE, TWO), SHARES),
            {(0, 8)},
            "partition 0 is 4 offsets behind; /readyz of its worker, at 10.0.0.1, says",
        ),
        (
            GroupView("Stable", (ONE, TWO), SHARES),
            {(0, 4), (0, 8), (2, 3)},
            "partitions 0, 2 are 8 offsets behind; /readyz of their workers, at 10.0.0.1,",
        ),
        (
            GroupView("Stable", (ONE, TWO), SHARES),
            {(0, 4)},
            "a worker has taken it; an adopt waits until Jet can be asked",
        ),
    ],
    ids=["nobody", "a rebalance", "an orphan", "behind", "several", "taken"],
)
def test_a_group_shows_why_an_order_has_no_answer(
    group: GroupView, where: set[tuple[int, int]], said: str
) -> None:
    assert told("g", group, where).startswith(said)
