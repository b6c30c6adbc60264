"""What `jetworker send` makes of paths and sizes, and what it says where they do not fit."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from jetworker.cli.exit_codes import REJECTED
from jetworker.cli.main import cli
from jetworker.cli.publish import fields, objects, send
from jetworker.core.errors import JetworkerError
from tests.cli.test_ui_follow import CONFIG


def test_sizes_are_those_of_the_files_in_their_order() -> None:
    made = objects(["a.mov", "/folder/", "/b.mov"], [7, 0], None)

    assert made == [
        {"relativePath": "/a.mov", "sizeInBytes": 7},
        {"relativePath": "/folder", "isDirectory": True},
        {"relativePath": "/b.mov", "sizeInBytes": 0},
    ]


@pytest.mark.parametrize(
    ("paths", "sizes", "said"),
    [
        (["/a"], [1, 2], "2 sizes for 1 file"),
        (["/a", "/b", "/c/"], [1], "1 size for 2 files"),
        (["/c/"], [1], "1 size for 0 files"),
    ],
)
def test_sizes_that_do_not_fit_the_files_are_counted_and_the_cure_is_told(
    paths: list[str], sizes: list[int], said: str
) -> None:
    with pytest.raises(JetworkerError) as told:
        objects(paths, sizes, None)

    assert str(told.value) == f"--size: {said}: give one for each, in their order"


def test_a_size_is_looked_up_below_a_folder_that_shows_the_source(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.mov").write_bytes(b"seven b")
    (tmp_path / "folder").mkdir()

    assert objects(["/a.mov"], [], tmp_path) == [
        {"relativePath": "/a.mov", "sizeInBytes": 7}
    ]
    with pytest.raises(JetworkerError, match=r"--stat: .*/folder is not a file"):
        objects(["/folder"], [], tmp_path)
    with pytest.raises(JetworkerError, match=r"--stat: .*/gone is not a file"):
        objects(["/gone"], [], tmp_path)


async def test_a_path_that_is_no_utf_8_is_refused_in_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """So a file is called that a shell's * found, and JSON has no way to say it."""
    command = fields("r", objects(["/caf\udce9.mov"], [], None), "c-1", None, None)

    code = await send(CONFIG, command, wait=False, as_json=False)

    assert code == REJECTED
    assert capsys.readouterr().err == (
        "jetworker: invalid_command: cannot be written as JSON: str is not valid UTF-8:"
        " surrogates not allowed\n"
    )


@pytest.mark.parametrize("metadata", ['{"a": NaN}', '{"a": 1, "a": 2}', "{"])
def test_metadata_that_a_worker_would_not_read_is_not_published_as_something_else(
    metadata: str,
) -> None:
    told = CliRunner().invoke(cli, ["send", "r", "/a", "--metadata", metadata])

    assert told.exit_code == REJECTED
    assert "Invalid value for '--metadata': " in told.stderr
