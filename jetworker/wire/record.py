"""A Kafka record as a value, before it is sent."""

from dataclasses import dataclass
from typing import TypeAlias

Headers: TypeAlias = tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True, slots=True)
class Record:
    """One record to produce; *partition* None leaves it to the key."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    partition: int | None = None


def traceparent(headers: Headers) -> str | None:
    """Return what is carried, unchanged, to every event; None if there is none."""
    for name, value in headers:
        if name.lower() == "traceparent" and value and value.isascii():
            return value.decode("ascii")
    return None
