"""A command of the command line, run in the environment of a system's workers."""

import asyncio
import json
import sys
from dataclasses import dataclass
from typing import Any

from tests.support import forked
from tests.support.documents import valid
from tests.support.system import System
from tests.support.waiting import PATIENCE

JETWORKER = (sys.executable, "-m", "jetworker")


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def told(self) -> list[dict[str, Any]]:
        """Return the events that it printed."""
        return [json.loads(line) for line in self.out.splitlines()]

    def document(self, name: str) -> Any:
        """Return the one JSON document that was printed, held against its schema."""
        return valid(name, json.loads(self.out))

    def lines(self, name: str) -> list[Any]:
        """Return the lines of NDJSON that were printed, each held against its schema."""
        return [valid(name, json.loads(line)) for line in self.out.splitlines()]


async def started(system: System, *arguments: str, **changes: str) -> forked.Process:
    """Start a command, with nobody at a terminal and with *changes* of the environment."""
    return await forked.start(
        *arguments,
        env=system.environ | changes,
        stdout=forked.PIPE,
        stderr=forked.PIPE,
    )


async def run(system: System, *arguments: str, **changes: str) -> Ran:
    """Run a command to its end; it never shows a traceback."""
    process = await started(system, *arguments, **changes)
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode is not None
    assert b"Traceback" not in err, err.decode()
    return Ran(process.returncode, out.decode(), err.decode())
