"""
Frozen values made at a fraction of what the library takes for it.

A delivery of forty fields takes a new one with every step, and a command has thousands
of objects. The library reads and sets each field by its name; here the slots themselves
are read and set.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

__all__ = ["of_columns", "replace"]

_Kind = TypeVar("_Kind")


class _Slots(NamedTuple):
    """How the fields of one class are read, all at once, and how each is set."""

    read: Callable[[Any], tuple[Any, ...]]
    put: tuple[Callable[[Any, Any], None], ...]
    named: dict[str, Callable[[Any, Any], None]]


_KNOWN: dict[type, _Slots] = {}


def _slots(kind: type) -> _Slots:
    names = [field.name for field in fields(kind)]
    named = {name: kind.__dict__[name].__set__ for name in names}
    return _Slots(attrgetter(*names), tuple(named.values()), named)


def of_columns(kind: type[_Kind], *columns: Iterable[Any]) -> Sequence[_Kind]:
    """
    Return a dataclass with slots for each row of *columns*, one for each of its fields.

    Raises ValueError where they are not one for each.
    """
    slots = _known(kind)
    first, *others = map(tuple, columns)
    made = [object.__new__(kind) for _ in first]
    for put, column in zip(slots.put, (first, *others), strict=True):
        deque(map(put, made, column), maxlen=0)
    return made


def _known(kind: type) -> _Slots:
    _KNOWN.setdefault(kind, _slots(kind))
    return _KNOWN[kind]


if TYPE_CHECKING:
    from dataclasses import replace  # checked by its fields' types
else:

    def replace(value, /, **changes):
        """
        Return a copy of a dataclass with slots in which some fields are others.

        It has several fields and no `__post_init__`. Raises KeyError for what is none.
        """
        kind = type(value)
        slots = _KNOWN.get(kind) or _known(kind)
        copy = object.__new__(kind)
        for put, each in zip(slots.put, slots.read(value), strict=True):
            put(copy, each)
        for name, each in changes.items():
            slots.named[name](copy, each)
        return copy
