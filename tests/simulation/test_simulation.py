"""Through every storm that a seed can draw, nothing is lost and nothing is done twice."""

from collections import Counter

import pytest

from tests.simulation.__main__ import Account
from tests.simulation.kept import KEPT
from tests.simulation.process import simulate, simulate_from_nothing

SEEDS = 250


@pytest.mark.parametrize("first", range(0, 8 * SEEDS, SEEDS))
def test_no_command_is_lost_or_done_twice_whatever_the_seed(first: int) -> None:
    """The output names the seed, how to replay it, and how much was checked."""
    done = simulate("--first", str(first), "--seeds", str(SEEDS))

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("seed", KEPT, ids=str)
def test_a_seed_that_once_went_wrong_does_so_no_more(seed: int) -> None:
    done = simulate("--seed", str(seed))

    assert done.returncode == 0, f"{KEPT[seed]}: {done.stdout}"


@pytest.mark.parametrize(
    ("unknown", "again", "is_vacuous"), [(100, 2, False), (100, 1, True), (0, 0, True)]
)
def test_where_hardly_anything_is_started_again_nothing_is_shown(
    unknown: int, again: int, *, is_vacuous: bool
) -> None:
    """A worker that never starts anything again makes no double either."""
    happened = {"starts unknown": unknown, "of these started again": again}

    account = Account(Counter(checked=1), Counter(happened))

    assert account.is_vacuous is is_vacuous


def test_what_was_never_seen_or_checked_is_not_shown() -> None:
    again = Counter({"starts unknown": 2, "of these started again": 1})

    assert Account(Counter(checked=0), again).is_vacuous
    assert Account(Counter(checked=1), Counter({**again, "seen": 0})).is_vacuous


@pytest.mark.parametrize("seed", ["7", "500014", "4", "5", "12", "13"])
def test_a_seed_is_the_same_run_every_time(seed: str) -> None:
    """
    By whatever hashes, and of a process that is forked as of one that is not.

    In the second, what was asked of Jet about several deliveries was asked in any order.
    The last four have a slow line, a gateway, a late broker, and routes that are moved.
    """
    first, second = (simulate_from_nothing("--seed", seed, hashing=h) for h in "12")

    assert first.stdout == second.stdout == simulate("--seed", seed).stdout
    assert first.stdout.count("\n") > 10
