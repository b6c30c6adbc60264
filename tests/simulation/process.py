"""
The simulation in a process of its own, on any copy of the package.

Most of it is forked from one that has imported everything, as `forked` does it. On a copy
of the package it imports what is ours anew, from there.
"""

import asyncio
import importlib
import os
import runpy
import subprocess
import sys
from pathlib import Path

from tests.support import forked

ROOT = Path(__file__).parents[2]
_LONGEST = 3600  # against hanging; beside other load the share of a test takes long
# A library reads the authorities when it is imported.
_ENVIRON = (("PYTHONHASHSEED", "0"), ("SSL_CERT_FILE", os.devnull))
_FORKER = forked.Forker("tests.simulation.process", _ENVIRON)
_OURS = {"jetworker", "tests"}
_PROGRAMS = ("tests.simulation", "tests.model.evidence")


def simulate(
    *options: str, folder: Path = ROOT, program: str = _PROGRAMS[0]
) -> "subprocess.CompletedProcess[str]":
    """Run the simulation in a process of its own, on the package in *folder*."""
    return asyncio.run(_run((program, *options), folder))


async def _run(
    arguments: tuple[str, ...], folder: Path
) -> "subprocess.CompletedProcess[str]":
    process = await forked.start(
        *arguments,
        env={n: v for n, v in os.environ.items() if n not in forked.UNSEEN},
        stdout=forked.PIPE,
        stderr=forked.PIPE,
        cwd=folder,
        forker=_FORKER,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), _LONGEST)
    finally:
        process.kill()
    code = await process.wait()
    return subprocess.CompletedProcess(arguments, code, out.decode(), err.decode())


def simulate_from_nothing(
    *options: str, hashing: str
) -> "subprocess.CompletedProcess[str]":
    """Run the simulation in a new Python that hashes in a way of its own."""
    return subprocess.run(
        [sys.executable, "-m", _PROGRAMS[0], *options],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": hashing},
        capture_output=True,
        text=True,
        check=False,
        timeout=_LONGEST,
    )


def main() -> None:
    """Import everything, and fork for every request; a fork goes on as its program."""
    for module in ("tests.simulation.scenario", *_PROGRAMS[1:]):
        importlib.import_module(module)
    if forked.is_forked():
        program, *sys.argv[1:] = sys.argv[1:]
        is_copied = Path.cwd() != ROOT
        if is_copied:
            sys.path.insert(0, str(Path.cwd()))
        for name in list(sys.modules):
            if name == program or (is_copied and name.split(".")[0] in _OURS):
                del sys.modules[name]
        runpy.run_module(program, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
