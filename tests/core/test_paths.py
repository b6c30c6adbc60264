"""Which paths a route allows: whole segments, never a folder that only begins alike."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetworker.core.route import path_allowed


@pytest.mark.parametrize("prefix", ["/ingest", "/ingest/"])
@pytest.mark.parametrize(
    ("path", "is_allowed"),
    [
        ("/ingest", True),
        ("/ingest/a", True),
        ("/ingest/a/b.mov", True),
        ("/ingest2", False),
        ("/ingest2/a", False),
        ("/ing", False),
        ("/other/ingest/a", False),
        ("/Ingest/a", False),
        ("/", False),
    ],
)
def test_a_prefix_allows_its_folder_and_what_is_below(
    prefix: str, path: str, is_allowed: bool
) -> None:
    assert path_allowed(path, [prefix]) is is_allowed


@pytest.mark.parametrize("prefixes", [(), ("/",), ("/ingest", "/")])
def test_everything_is_allowed_by_no_prefix_or_by_the_root(
    prefixes: tuple[str, ...],
) -> None:
    assert path_allowed("/", prefixes)
    assert path_allowed("/any/where", prefixes)


def test_any_of_several_prefixes_is_enough() -> None:
    assert path_allowed("/b/c", ["/a/", "/b/c/"])
    assert not path_allowed("/b", ["/a/", "/b/c/"])


segment = st.text("ab", min_size=1, max_size=2)


@given(st.lists(segment, min_size=1, max_size=4), st.lists(segment, max_size=4))
def test_allowed_is_what_begins_with_the_same_segments(
    prefix: list[str], path: list[str]
) -> None:
    is_below = path[: len(prefix)] == prefix

    assert path_allowed("/" + "/".join(path), ["/" + "/".join(prefix)]) is is_below
