"""What failed is named as the command wrote it, however storage writes it."""

import pytest

from jetworker.core.command import ObjectSpec, TransferId
from jetworker.core.failed_names import failed_names
from jetworker.core.observation import JetFile

OURS = TransferId("t-1")
OBJECTS = (
    ObjectSpec("/a b.mov"),
    ObjectSpec("/caf\u00e9.mov"),
    ObjectSpec("/show", is_directory=True),
)


def a_file(
    url: str, state: str = "FAILED", transfer: TransferId | None = OURS
) -> JetFile:
    return JetFile(url, transfer, state)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("file:///storage/a b.mov", ("/a b.mov",)),
        ("s3://bucket/root/a%20b.mov", ("/a b.mov",)),
        ("a+b.mov", ("/a b.mov",)),
        ("file:///storage/cafe\u0301.mov", ("/caf\u00e9.mov",)),
        ("file:///storage/show/1/x.mxf", ("/show/1/x.mxf",)),
        ("/show/x.mxf", ("/show/x.mxf",)),
        ("file:///storage/other.mov", ()),
    ],
)
def test_a_failed_file_has_the_name_that_the_command_gave_it(
    url: str, name: tuple[str, ...]
) -> None:
    assert failed_names(OBJECTS, [a_file(url)], [OURS]) == name


def test_only_what_failed_in_these_transfers_and_was_not_moved_later_is_named() -> None:
    other = TransferId("t-2")
    files = [
        a_file("/a b.mov"),
        a_file("/show/x", "COMPLETED"),
        a_file("/show/y", transfer=other),
        a_file("/show/z"),
        a_file("/show/z", "COMPLETED"),
    ]

    assert failed_names(OBJECTS, files, [OURS]) == ("/a b.mov",)
