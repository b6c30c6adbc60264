"""
Records whose headers have names that are no UTF-8, which Kafka takes and aiokafka does not.

The protocol calls a header's name a string, but no broker looks at it, and clients in C
write bytes. aiokafka 0.14 raises where it unpacks such a record, for ever: one of them
would stop its partition. `install` makes it read such a batch once more, with what is no
UTF-8 replaced; other batches are read as always.
"""

from collections.abc import Iterator
from typing import Any, SupportsIndex

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords, _MemoryRecordsPy
from typing_extensions import override

_NEWER_MAGIC = 2  # older records have no headers
_MAGIC_OFFSET = 16


def install() -> None:
    """Let every consumer of this process read such records."""
    module: Any = fetcher
    module.MemoryRecords = _Records
    module.PartitionRecords = _PartitionRecords


class _Records:
    """What a broker answered, read as always; *data* is kept to read it once more."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        strict = MemoryRecords(data)
        self.has_next = strict.has_next
        self.next_batch = strict.next_batch
        self.size_in_bytes = strict.size_in_bytes


class _PartitionRecords(fetcher.PartitionRecords):
    """Yields the records of one answer, from the batch that cannot be read on leniently."""

    @override
    def _unpack_records(self) -> Iterator[Any]:
        unpack: Any = super()._unpack_records
        try:
            yield from unpack()
        except (UnicodeDecodeError, CorruptRecordException) as exc:
            cause = exc if isinstance(exc, UnicodeDecodeError) else exc.__cause__
            if not isinstance(cause, UnicodeDecodeError):
                raise
            rest = _LenientRecords(self._records.data, self.next_fetch_offset)
            self._records = rest
            yield from unpack()


class _LenientRecords(_MemoryRecordsPy):  # type: ignore[misc]  # final, no other way
    """The batches of an answer that reach beyond an offset."""

    def __init__(self, data: bytes, offset: int) -> None:
        super().__init__(data)
        self._offset = offset

    @override
    def next_batch(self, *_constants: int) -> Any:
        while True:
            data = self._next_slice
            if data is None or data[_MAGIC_OFFSET] < _NEWER_MAGIC:
                return super().next_batch()
            self._cache_next()
            batch = _LenientBatch(data)
            if batch.next_offset > self._offset:
                return batch


class _LenientBatch(_DefaultRecordBatchPy):  # type: ignore[misc]  # the same
    @override
    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _Buffer(self._buffer)


class _Buffer(bytearray):
    @override
    def __getitem__(self, place: SupportsIndex | slice) -> Any:
        found = super().__getitem__(place)
        return _Part(found) if isinstance(found, bytearray) else found


class _Part(bytearray):
    @override
    def decode(self, encoding: str = "utf-8", errors: str = "replace") -> str:
        return super().decode(encoding, errors)
