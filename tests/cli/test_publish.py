"""What `jetworker send` makes of paths and sizes, and what it says where they do not fit."""

from pathlib import Path

import pytest

from jetworker.cli.publish import objects
from jetworker.core.errors import JetworkerError


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
