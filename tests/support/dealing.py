"""In what order the workers of xdist get the tests."""

from collections.abc import Sequence
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")


def deal(
    busy: Sequence[Item], waiting: Sequence[Item], short: Sequence[Item], workers: int
) -> list[Item]:
    """
    Return all items in an order of which each worker's part begins with long ones.

    A part is what `--dist=worksteal` gives a worker first. Of the long ones, the *busy*,
    which need a whole core, go to every fourth worker, and those that mostly wait are
    dealt one by one to the others: together they fill two cores from the first minute to
    the last. The short ones stay beside their neighbours, with which they may share
    something of their module.
    """
    hands: list[list[Item]] = [[] for _ in range(workers)]
    of_busy = max(1, workers // 4)
    of_waiting = max(1, workers - of_busy)
    for number in range(of_busy):
        hands[number].extend(busy[number::of_busy])
    for number in range(of_waiting):
        hands[number - of_waiting].extend(waiting[number::of_waiting])
    rest = iter(short)
    left = sum(map(len, (busy, waiting, short)))
    for number, hand in enumerate(hands):
        part = left // (workers - number)
        hand.extend(islice(rest, max(0, part - len(hand))))
        left -= len(hand)
    return [item for hand in hands for item in hand]
