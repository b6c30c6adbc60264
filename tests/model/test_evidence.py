"""The rules for unknown starts, under every listing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.process import ROOT

SEEDS = 60


def run(*options: str, folder: Path = ROOT) -> "subprocess.CompletedProcess[str]":
    """Run the model in a process of its own, on the package in *folder*."""
    path = os.pathsep.join([str(folder), str(ROOT)])
    return subprocess.run(
        [sys.executable, "-m", "tests.model.evidence", *options],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


@pytest.mark.timeout(600)
def test_nothing_is_doubled_or_wrongly_adopted_and_not_all_is_held() -> None:
    done = run("--seeds", str(SEEDS))

    assert done.returncode == 0, done.stdout + done.stderr
