"""In what order the workers of xdist get the tests."""

from collections.abc import Sequence
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")


def deal(long: Sequence[Item], short: Sequence[Item], workers: int) -> list[Item]:
    """
    Return all items in an order of which each worker's part begins with long ones.

    A part is what `--dist=worksteal` gives a worker first. The long ones, the longest
    first, are dealt one by one; the short ones stay beside their neighbours, with which
    they may share something of their module.
    """
    hands = [list(long[number::workers]) for number in range(workers)]
    rest = iter(short)
    left = len(long) + len(short)
    for number, hand in enumerate(hands):
        part = left // (workers - number)
        hand.extend(islice(rest, max(0, part - len(hand))))
        left -= len(hand)
    return [item for hand in hands for item in hand]
