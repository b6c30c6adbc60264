"""
How a command says what it found: results to stdout, remarks to stderr.

Names of jobs, file names and what Jet says may hold brackets and colons, so nothing that
is printed is taken for markup: every console of ours is opened here.
"""

import sys
from collections.abc import Sequence

import orjson
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

__all__ = ["Console", "console", "document", "line", "remark", "say", "table"]


def console() -> Console:
    """Open a console on stdout that prints what it is given, and nothing else."""
    return Console(markup=False, emoji=False, highlight=False)


def say(text: str) -> None:
    """Print a line of the result."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def remark(text: str) -> None:
    """Print a line that is no result."""
    sys.stderr.write(f"jetworker: {text}\n")
    sys.stderr.flush()


def line(data: BaseModel) -> None:
    """Print one line of NDJSON."""
    say(orjson.dumps(data.model_dump(mode="json", by_alias=True)).decode())


def document(data: BaseModel) -> None:
    """Print the one JSON document that a command answers with."""
    found = data.model_dump(mode="json", by_alias=True)
    say(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table on a terminal, tab-separated lines under a header otherwise."""
    out = console()
    if not out.is_terminal:
        for row in (columns, *rows):
            say("\t".join(row))
        return
    drawn = Table(*columns)
    for row in rows:
        drawn.add_row(*row)
    out.print(drawn)
