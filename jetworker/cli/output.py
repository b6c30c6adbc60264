"""
How a command says what it found: results to stdout, remarks to stderr.

Names of jobs, file names and what Jet says may hold brackets and colons, so nothing that
is printed is taken for markup: every console of ours is opened here. Nor does it move the
cursor, colour anything or make a line of its own: whoever publishes a command chooses an id
that is shown with its dead letter.
"""

import sys
from collections.abc import Sequence

import orjson
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

__all__ = [
    "Console",
    "console",
    "document",
    "line",
    "plain",
    "remark",
    "row",
    "say",
    "table",
    "verbatim",
]


def console() -> Console:
    """Open a console on stdout that prints what it is given, and nothing else."""
    return Console(markup=False, emoji=False, highlight=False)


def plain(text: str) -> str:
    """Return text that cannot move a terminal's cursor, colour it or end a line."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode()
        for each in text
    )


def say(text: str) -> None:
    """Print a line of the result, for people."""
    verbatim(plain(text))


def verbatim(text: str) -> None:
    """Print a line of the result as it is: it is for programs, or was made plain."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def remark(text: str) -> None:
    """Print a line that is no result."""
    sys.stderr.write(f"jetworker: {plain(text)}\n")
    sys.stderr.flush()


def line(data: BaseModel) -> None:
    """Print one line of NDJSON."""
    verbatim(orjson.dumps(data.model_dump(mode="json", by_alias=True)).decode())


def document(data: BaseModel) -> None:
    """Print the one JSON document that a command answers with."""
    found = data.model_dump(mode="json", by_alias=True)
    verbatim(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())


def row(cells: Sequence[str]) -> None:
    """Print a line of cells with tabs between them."""
    verbatim("\t".join(map(plain, cells)))


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table on a terminal, tab-separated lines under a header otherwise."""
    out = console()
    if not out.is_terminal:
        for each in (columns, *rows):
            row(each)
        return
    drawn = Table(*columns)
    for each in rows:
        drawn.add_row(*map(plain, each))
    out.print(drawn)
