"""
The batches in which a transaction sends its records: one for each partition, if they fit.

Ours is the choice of the codec, which aiokafka makes once for all: to compress a few
hundred bytes costs more than it spares.
"""

import gzip
import sys
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Any

from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from jetworker.wire.record import Record

_MOST = 1 << 20  # bytes, before compression; one record may be larger
_WORTH_GZIP = 8 << 10  # bytes
_WORTH_ZSTD = 2 << 10  # bytes
_GZIP_LEVEL = 3  # aiokafka's 9 takes four times as long, for a fifth less


class Codec(IntEnum):
    """How a batch is compressed, by its number in Kafka's protocol."""

    NONE = 0
    GZIP = 1
    ZSTD = 4


def _gzip(batch: Any) -> bytes:
    return gzip.compress(batch, _GZIP_LEVEL, mtime=0)


def _install() -> None:
    """Let aiokafka, which has no setting for it, compress batches at our level."""
    module: Any = sys.modules[DefaultRecordBatchBuilder.__module__]
    if hasattr(module, "gzip_encode"):
        module.gzip_encode = _gzip


_install()


def codec(records: Sequence[Record], *, is_ours: bool) -> Codec:
    """
    Return what records are compressed with: what is large must be.

    The broker's limit is for what is compressed, and a record that came in compressed
    must go out again. Only gzip is read by every client there is; zstd is ten times as
    fast, for what nobody reads but us.
    """
    size = sum(len(each.value or b"") for each in records)
    if is_ours:
        return Codec.ZSTD if size >= _WORTH_ZSTD else Codec.NONE
    return Codec.GZIP if size >= _WORTH_GZIP else Codec.NONE


def batches(records: Sequence[Record], how: Codec) -> Iterator[BatchBuilder]:
    """Yield the batches of one partition's records, in their order."""
    batch = _empty(how)
    for record in records:
        if not _is_added(batch, record):
            yield batch
            batch = _empty(how)
            _is_added(batch, record)  # the first always is
    yield batch


def _empty(how: Codec) -> BatchBuilder:
    return BatchBuilder(_MOST, how, is_transactional=1)


def _is_added(batch: BatchBuilder, record: Record) -> bool:
    added = batch.append(
        timestamp=None,
        key=record.key,
        value=record.value,
        headers=list(record.headers),
    )
    return added is not None
