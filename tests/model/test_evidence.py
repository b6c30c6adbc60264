"""The rules for unknown starts, under every listing; each left out is noticed."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.model.bugs import NOTHING_AGAIN, ROWS, LeftOut
from tests.simulation.process import ROOT, simulate

SEEDS = 60
ENOUGH = 40  # one that is found at once costs no more for it


def run(*options: str, folder: Path = ROOT) -> "subprocess.CompletedProcess[str]":
    """Run the model in a process of its own, on the package in *folder*."""
    return simulate(*options, folder=folder, program="tests.model.evidence")


@pytest.mark.timeout(600)
def test_nothing_is_doubled_or_wrongly_adopted_and_not_all_is_held() -> None:
    done = run("--seeds", str(SEEDS))

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.row)
def test_a_row_that_is_left_out_makes_a_double_and_with_it_there_is_none(
    row: LeftOut, tmp_path: Path
) -> None:
    row.plant(tmp_path)
    world = ("--first", str(row.first), "--fixed", json.dumps(row.fixed))

    without = run(*world, "--seeds", str(ENOUGH), "--until-wrong", folder=tmp_path)
    with_it = run(*world, "--seeds", "1", "--until-wrong")

    assert ": double: " in without.stdout, without.stdout + without.stderr
    assert ": double: " not in with_it.stdout, with_it.stdout
    assert "1 seeds, " in with_it.stdout, with_it.stderr


def test_a_model_in_which_nothing_is_started_again_shows_nothing(
    tmp_path: Path,
) -> None:
    """A worker that never starts anything again makes no double either."""
    NOTHING_AGAIN.plant(tmp_path)
    world = ("--seeds", "5", "--fixed", json.dumps(NOTHING_AGAIN.fixed))

    never, sometimes = run(*world, folder=tmp_path), run(*world)

    assert never.returncode == 1
    assert "hardly anything was started again" in never.stdout, never.stderr
    assert sometimes.returncode == 0, sometimes.stdout + sometimes.stderr
