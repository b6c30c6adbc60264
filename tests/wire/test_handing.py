"""A record that is handed over is answered as if it had been read where it is answered."""

from dataclasses import replace

import pytest

from jetworker.wire import handing
from jetworker.wire.handing import Handed

_READ = Handed(
    b"k",
    b"{}",
    (("a", b"1"), ("b", None), ("\udcff", b"")),
    "jet.commands",
    3,
    17,
    1795,
)


@pytest.mark.parametrize(
    "read",
    [_READ, replace(_READ, key=None, headers=()), replace(_READ, value=b"\xff\x00")],
)
def test_it_comes_out_as_it_went_in(read: Handed) -> None:
    record = handing.encode(read, "jet.state", 5, 6)

    assert (record.topic, record.partition) == ("jet.state", 5)
    assert record.key == b" handed:3:17:1795:6"
    assert record.value is not None
    assert handing.decode(record.value) == read


@pytest.mark.parametrize(
    ("key", "of"),
    [
        (b" handed:3:17:-1:6", 6),
        (b" handed:3:17:1795:12", 12),
        (b" handed:3:17:1795", 0),
        (b" handed:3:17:1795:?", 0),
    ],
)
def test_its_key_tells_among_how_many_partitions_its_home_was_found(
    key: bytes, of: int
) -> None:
    assert handing.found_among(key) == of
