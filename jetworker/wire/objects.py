"""The objects of a command that waits, packed: thousands of those may wait."""

import zlib

import orjson

from jetworker.core.command import ObjectSpec
from jetworker.core.delivery import Delivery
from jetworker.core.frozen import of_columns, replace

_WORTH_PACKING = 20  # objects
_AN_OBJECT = 200  # bytes of one that is kept as it is, beside its path
_QUICK = 1  # a burst of large commands is read while others are started


def pack(delivery: Delivery) -> tuple[Delivery, bytes | None, int]:
    """Return it without its objects, these packed, and the bytes that they take."""
    specs = delivery.objects
    if len(specs) < _WORTH_PACKING:
        size = sum(_AN_OBJECT + len(spec.relative_path) for spec in specs)
        return delivery, None, size
    columns = (
        [spec.relative_path for spec in specs],
        [spec.size for spec in specs],
        [spec.is_directory for spec in specs],
    )
    packed = zlib.compress(orjson.dumps(columns), _QUICK)
    return replace(delivery, objects=()), packed, len(packed)


def unpack(delivery: Delivery, packed: bytes) -> Delivery:
    """Return it with its objects again."""
    columns = orjson.loads(zlib.decompress(packed))
    return replace(delivery, objects=tuple(of_columns(ObjectSpec, *columns)))
