"""The simulation would notice: every bug that is planted is caught."""

from pathlib import Path

import pytest

from tests.simulation.bugs import (
    AT_ONCE,
    EVIDENCE,
    FOUND,
    ORDERS,
    OTHERS,
    OUTSIDE,
    PLANTED,
    ROWS,
    STATE,
    Bug,
)
from tests.simulation.process import simulate

ENOUGH = 400  # one that is found at once costs no more for it


@pytest.mark.parametrize(
    "bug",
    PLANTED + FOUND + OTHERS + AT_ONCE + ORDERS + STATE + EVIDENCE + ROWS + OUTSIDE,
    ids=lambda bug: bug.name,
)
def test_a_planted_bug_is_caught(bug: Bug, tmp_path: Path) -> None:
    bug.plant(tmp_path)

    options = ("--first", str(bug.first), "--seeds", str(ENOUGH))
    done = simulate(*options, "--until", bug.shows, folder=tmp_path)

    assert done.returncode == 1, f"{bug.name} was not noticed: {done.stdout}"
    assert f"\n{bug.shows}" in f"\n{done.stdout}", done.stdout + done.stderr
    assert "went wrong; to replay it" in done.stdout, done.stderr
