"""
A command's record, handed over to the partition that answers for its id.

It is written to the state partition of that one, by the owner of the one on which it was
read, in the transaction that moves the input past it; and taken away in the transaction
that answers it. Its key begins with a blank, as all that is the worker's own, and says
by how many state partitions that one was found: after a growth it may be another.
"""

import json
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Any, Final

from jetworker.wire.record import Headers, Record

HANDED: Final = b" handed:"


@dataclass(frozen=True, slots=True)
class Handed:
    """The record as it was read, field for field as aiokafka names them."""

    key: bytes | None
    value: bytes | None
    headers: Headers
    topic: str
    partition: int
    offset: int
    timestamp: int


def encode(message: Any, state_topic: str, partition: int, of: int) -> Record:
    """
    Return the state record that hands *message* (aiokafka's) over to a partition.

    That one was found by its id among so many state partitions.
    """
    place = f"{message.partition}:{message.offset}:{message.timestamp}"
    key = HANDED + f"{place}:{of}".encode()
    value = json.dumps(
        {
            "v": 1,
            "topic": message.topic,
            "partition": message.partition,
            "offset": message.offset,
            "timestamp": message.timestamp,
            "key": _text(message.key),
            "value": _text(message.value),
            "headers": [[name, _text(each)] for name, each in message.headers],
        }
    ).encode()
    return Record(state_topic, key, value, partition=partition)


def found_among(key: bytes) -> int:
    """Return among how many state partitions it was; 0 where an earlier version did it."""
    of = (key + b":0").split(b":")[4]
    return int(of) if of.isdigit() else 0


def decode(value: bytes) -> Handed:
    """Read one."""
    fields: dict[str, Any] = json.loads(value)
    return Handed(
        key=_bytes(fields["key"]),
        value=_bytes(fields["value"]),
        headers=tuple((name, _bytes(each)) for name, each in fields["headers"]),
        topic=fields["topic"],
        partition=fields["partition"],
        offset=fields["offset"],
        timestamp=fields["timestamp"],
    )


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else b64encode(raw).decode()


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else b64decode(text)
