"""Records that no client of ours would write, and some others do."""

from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from typing_extensions import override

NAME, BROKEN = b"BAD", b"\xe9\xffx"


class Damaged(_DefaultRecordBatchBuilderPy):  # type: ignore[misc]  # final
    """Builds batches in which a header called BAD has a name that is no UTF-8."""

    @override
    def build(self) -> bytearray:
        self._buffer = bytearray(self._buffer.replace(NAME, BROKEN))
        return bytearray(super().build())
