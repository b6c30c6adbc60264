"""Every command that the documents name is one that the command line takes."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup
from typer.main import get_command
from typer.testing import CliRunner

from jetworker.cli.main import cli

ROOT = Path(__file__).parents[2]
# docs/cli.md is made from the command line itself.
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/*.md", "helm/jetworker/*.md", "schemas/*.md")
    for page in ROOT.glob(pattern)
    if page.name not in {"cli.md", "CHANGELOG.md"}
)
_FENCED = re.compile(r"^```(?:sh|bash|console)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_SPAN = re.compile(r"`([^`]+)`")
# Where a shell would begin something else.
_ENDS = {"|", "||", "&&", "&", ">", "2>&1", "#"}


def written(page: Path) -> Iterator[str]:
    """Yield what a page names: in a block a line each, in the text between ticks."""
    text = page.read_text()
    for block in _FENCED.findall(text):
        yield from block.replace("\\\n", " ").splitlines()
    for span in _SPAN.findall(
        re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    ):
        yield " ".join(span.split())


def arguments(line: str) -> list[str] | None:
    """Return what a line gives to jetworker, None if it does not run that."""
    found = re.search(r"(?:^|[\s$;(])jetworker ((?:--)?[a-z].*)", line)
    if found is None or re.search(
        r"\b(helm|pip|docker|image)\b", line[: found.start(1)]
    ):
        return None
    plain = (
        re.sub(r"\[(--?[^]]*|[A-Z]+)\]", r"\1", found[1])
        .replace(" …", " X")
        .replace("…", "")
    )
    given: list[str] = []
    for word in shlex.split(plain.replace(";", " # ").replace(")", " # ")):
        if word in _ENDS or word[0] in "<>":
            break
        given.append(word)
    return given


def refusal(given: list[str]) -> str | None:
    """Return why a command is not taken: it is parsed, and only its help is shown."""
    taken = CliRunner().invoke(cli, [*given, "--help"])
    return None if taken.exit_code == 0 else " ".join(taken.output.split())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_that_a_page_names_is_taken(page: Path) -> None:
    refused = []
    for line in written(page):
        given = arguments(line)
        if given is not None and (why := refusal(given)) is not None:
            refused.append(f"{line}: {why}")

    assert refused == []


def incomplete(given: list[str]) -> str | None:
    """Return what a command would miss if it was run as it is written."""
    found, left = get_command(cli), list(given)
    while isinstance(found, TyperGroup) and left:
        found = found.commands[left.pop(0)]
    try:
        with found.make_context(found.name, left):
            return None
    except typer.BadParameter as exc:  # a missing one too
        return exc.format_message()


def test_every_command_of_the_runbook_has_all_that_it_needs() -> None:
    """Somebody who is paged types what is there; only the capitals are to be filled in."""
    missing = []
    for line in written(ROOT / "helm" / "jetworker" / "RUNBOOK.md"):
        given = arguments(line)
        if given is not None and (why := incomplete(given)) is not None:
            missing.append(f"{line}: {why}")

    assert missing == []


def test_the_runbook_and_the_tutorial_are_read_at_all() -> None:
    counted = {
        page.name: sum(arguments(line) is not None for line in written(page))
        for page in PAGES
    }

    assert counted["RUNBOOK.md"] >= 20
    assert counted["tutorial.md"] >= 12


@pytest.mark.parametrize(
    "wrong",
    [
        "jetworker explian ID",
        "jetworker resolve ID adopt --delivery ID",
        "jetworker jobs resumed NAME",
        "A=b jetworker check --online && jetworker run",
    ],
)
def test_a_command_that_does_not_exist_is_found_by_these_tests(wrong: str) -> None:
    given = arguments(wrong)

    assert given is not None
    assert refusal(given) is not None
