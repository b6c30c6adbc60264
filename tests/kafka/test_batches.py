"""The batches of a transaction: in order, and compressed where it is worth it."""

import pytest

from jetworker.kafka.batches import Codec, batches, codec
from jetworker.wire.record import Record
from tests.support.batches import records_of

_BATCH_HEADER = 61  # bytes before the records, which alone are compressed
_BEST = 2


def sized(size: int, key: bytes | None = b"k") -> Record:
    return Record("t", key, b"v" * size, (("h", b"x"), ("none", None)))


@pytest.mark.parametrize(
    ("size", "is_ours", "how"),
    [
        (1_000, True, Codec.NONE),
        (10_000, True, Codec.ZSTD),
        (1_000, False, Codec.NONE),
        (10_000, False, Codec.GZIP),
    ],
)
def test_only_what_is_large_is_compressed_and_what_others_read_with_gzip(
    size: int, is_ours: bool, how: Codec
) -> None:
    assert codec([sized(size)], is_ours=is_ours) is how


@pytest.mark.parametrize("how", Codec)
def test_records_come_back_in_order_from_as_many_batches_as_they_need(
    how: Codec,
) -> None:
    records = [sized(size, b"%d" % size) for size in (10, 3 << 20, 600_000, 600_000)]
    records.append(Record("t", None, None))

    sent = [
        [Record("t", r.key, r.value, tuple(r.headers)) for r in records_of(each)]
        for each in batches(records, how)
    ]

    assert sent == [
        records[:1],
        records[1:2],
        records[2:3],
        records[3:],
    ]


def test_gzip_takes_no_more_trouble_than_it_is_worth() -> None:
    (batch,) = batches([sized(10_000)], Codec.GZIP)

    compressed = bytes(batch._build())[_BATCH_HEADER:]  # noqa: SLF001 -- what is sent

    assert compressed.startswith(b"\x1f\x8b")
    assert compressed[8] != _BEST  # RFC 1952: how hard the compressor tried
