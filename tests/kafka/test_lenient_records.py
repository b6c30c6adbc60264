"""Records whose headers have names that are no text are read, and all around them."""

from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException

from jetworker.kafka import lenient_records
from tests.support.odd_records import Damaged


def a_batch(first_offset: int, compression: int, *names: list[str]) -> bytes:
    """Return a batch as a broker answers it; BAD becomes bytes that are no UTF-8."""
    builder = Damaged(2, compression, 0, -1, -1, -1, 1 << 20)
    for number, each in enumerate(names):
        headers: list[tuple[str, bytes | None]] = [(name, b"v") for name in each]
        value = f"{first_offset + number}".encode()
        builder.append(number, 1_700_000_000_000, b"k", value, headers)
    return first_offset.to_bytes(8, "big") + bytes(builder.build())[8:]


def read(data: bytes, offset: int) -> Any:
    """Read as a consumer of this process does."""
    lenient_records.install()
    module: Any = fetcher
    return module.PartitionRecords(
        TopicPartition("t", 0),
        module.MemoryRecords(data),
        [],
        offset,
        None,
        None,
        True,
        fetcher.READ_COMMITTED,
    )


@pytest.mark.parametrize("compression", [0, 1], ids=["plain", "gzip"])
def test_what_is_no_utf_8_is_replaced_and_nothing_else_is_touched(
    compression: int,
) -> None:
    data = b"".join(
        [
            a_batch(0, compression, ["trace"], []),
            a_batch(2, compression, ["trace"], ["trace", "BAD"], []),
            a_batch(5, compression, ["trace"]),
        ]
    )

    records = read(data, 1)

    found = [(r.offset, r.value, [name for name, _ in r.headers]) for r in records]
    assert found == [
        (1, b"1", []),
        (2, b"2", ["trace"]),
        (3, b"3", ["trace", "\ufffd\ufffdx"]),
        (4, b"4", []),
        (5, b"5", ["trace"]),
    ]
    assert records.next_fetch_offset == 6


def test_a_batch_that_is_broken_otherwise_is_still_refused() -> None:
    data = bytearray(a_batch(0, 0, ["trace"]))
    data[-1] ^= 1

    with pytest.raises(CorruptRecordException):
        list(read(bytes(data), 0))
