"""What failed is named as the command wrote it, however storage writes it."""

import sys

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


def test_a_name_begins_at_the_first_folder_asked_for_that_its_address_leads_through() -> (
    None
):
    objects = (
        ObjectSpec("/a/b", is_directory=True),
        ObjectSpec("/a/b/c", is_directory=True),
        ObjectSpec("/b/c.mov"),
        ObjectSpec("/c.mov"),
    )
    urls = {
        "s3://a/b/x/a/b/c/d.mov": "/a/b/c/d.mov",
        "/x/a/b": None,  # a folder is no file in it
        "/x/a/b/c.mov": "/b/c.mov",  # the deepest file is meant, and before any folder
    }

    for url, name in urls.items():
        expected = () if name is None else (name,)
        assert failed_names(objects, [a_file(url)], [OURS]) == expected


def calls_to_name(depth: int) -> int:
    """Return how many functions are called to name a file at so many folders."""
    url = "file:///storage" + "/show" * depth + "/x.mxf"
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    folder = ObjectSpec("/show" + "/later" * 9, is_directory=True)
    objects = (ObjectSpec("/a b.mov"), folder)
    before = sys.getprofile()
    sys.setprofile(count)
    try:
        failed_names(objects, [a_file(url)], [OURS])
    finally:
        sys.setprofile(before)
    return calls


def test_a_file_ten_times_as_deep_costs_ten_times_as_much() -> None:
    """Somebody's folders are as deep as they made them, and each file is asked for."""
    assert calls_to_name(2_000) < 11 * calls_to_name(200)
