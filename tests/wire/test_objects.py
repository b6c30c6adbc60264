"""Object lists of commands that wait take little memory, and come back as they were."""

from dataclasses import replace

import pytest

from jetworker.core.command import ObjectSpec
from jetworker.core.delivery import State
from jetworker.wire import objects
from tests.support.builders import a_delivery

FRAMES = tuple(ObjectSpec(f"/show/frame.{n:07d}.dpx", 1000) for n in range(9000))
ODD = tuple(
    ObjectSpec(f"/\u00e9 {n}\u2028", size, is_directory=size is None)
    for n, size in enumerate((None, 0, 2**53 - 1) * 10)
)


@pytest.mark.parametrize("specs", [FRAMES, ODD])
def test_packed_objects_come_back_as_they_were(specs: tuple[ObjectSpec, ...]) -> None:
    delivery = a_delivery(State.WAITING, objects=specs)

    light, packed, _ = objects.pack(delivery)

    assert light == replace(delivery, objects=())
    assert packed is not None
    assert objects.unpack(light, packed) == delivery


def test_nine_thousand_objects_are_held_in_a_quarter_of_a_mebibyte() -> None:
    _, packed, size = objects.pack(a_delivery(State.WAITING, objects=FRAMES))

    assert packed is not None
    assert size == len(packed)
    assert size < 256 << 10


def test_a_few_objects_are_held_as_they_are_and_counted() -> None:
    delivery = a_delivery(State.WAITING, objects=FRAMES[:2])

    light, packed, size = objects.pack(delivery)

    assert (light, packed, size) == (delivery, None, 2 * (200 + 23))
