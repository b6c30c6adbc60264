"""Through every storm that a seed can draw, nothing is lost and nothing is done twice."""

import pytest

from tests.simulation.kept import KEPT
from tests.simulation.process import simulate

SEEDS = 250


@pytest.mark.parametrize("first", range(0, 4 * SEEDS, SEEDS))
def test_no_command_is_lost_or_done_twice_whatever_the_seed(first: int) -> None:
    """The output names the seed, how to replay it, and how much was checked."""
    done = simulate("--first", str(first), "--seeds", str(SEEDS))

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("seed", KEPT, ids=str)
def test_a_seed_that_once_went_wrong_does_so_no_more(seed: int) -> None:
    done = simulate("--seed", str(seed))

    assert done.returncode == 0, f"{KEPT[seed]}: {done.stdout}"


def test_a_seed_is_the_same_run_every_time() -> None:
    first, second = (simulate("--seed", "7", hashing=each) for each in ("1", "2"))

    assert first.stdout == second.stdout
    assert first.stdout.count("\n") > 10
