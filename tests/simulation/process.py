"""The simulation in a process of its own, on any copy of the package."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def simulate(
    *options: str, folder: Path = ROOT, hashing: str = "0"
) -> "subprocess.CompletedProcess[str]":
    """Run the simulation in a process of its own, on the package in *folder*."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
        "PYTHONHASHSEED": hashing,
        "SSL_CERT_FILE": os.devnull,  # a library reads the authorities when imported
    }
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation", *options],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=3600,  # against hanging; beside other load the share of a test takes long
    )
