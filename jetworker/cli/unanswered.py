"""Why what was published has no answer yet, as far as the group shows it from outside."""

import asyncio
from collections.abc import Callable, Collection

from jetworker.cli import output
from jetworker.config.model import Config
from jetworker.core.errors import StoreError
from jetworker.kafka import group_members
from jetworker.kafka.group_members import GroupView
from jetworker.wire.units import counted

SAID_AFTER = 5.0  # seconds
GIVEN_UP_AFTER = 60.0  # seconds

Where = Collection[tuple[int, int]]


async def say_why(config: Config, where: Callable[[], Where]) -> None:
    """
    Say once, after a few seconds, what keeps the answer away; cancel it when one came.

    *where* tells which records wait for one, by partition and offset.
    """
    await asyncio.sleep(SAID_AFTER)
    if where():
        why = await reason(config, where())
        output.remark(f"no answer after {SAID_AFTER:g} s, still waiting: {why}")


async def give_up(config: Config, where: Where) -> None:
    """Say what becomes of orders without an answer: they are not taken back."""
    why = await reason(config, where)
    output.remark(f"no answer within {GIVEN_UP_AFTER:g} s: {why}")
    orders, it = ("the order is", "it") if len(where) == 1 else ("orders are", "them")
    output.remark(
        f"{orders} not taken back: a worker that reads {it} later carries {it} out, or"
        f" refuses {it}, by what the command is then; jetworker explain tells that"
    )


async def reason(config: Config, where: Where) -> str:
    """Return why there is no answer to these records."""
    try:
        group = await group_members.look(config)
    except StoreError as exc:
        return f"the group {config.kafka.group_id} cannot be asked about: {exc}"
    return told(config.kafka.group_id, group, where)


def told(group_id: str, group: GroupView, where: Where) -> str:
    """Return what a group shows of who should have answered these records."""
    if not group.members:
        return f"no worker runs, the group {group_id} has no members"
    if group.state != "Stable":
        return f"the group {group_id} is being dealt its partitions ({group.state})"
    committed = {each.partition: each.committed or 0 for each in group.shares}
    untaken = {
        partition
        for partition, offset in where
        if committed.get(partition, 0) <= offset
    }
    if not untaken:
        return "a worker has taken it; an adopt waits until Jet can be asked"
    having = {p: member.host for member in group.members for p in member.partitions}
    if orphans := untaken - having.keys():
        return f"no worker has {_named(orphans)}"
    hosts = ", ".join(sorted({having[each] for each in untaken}))
    behind = sum(each.behind for each in group.shares if each.partition in untaken)
    are, their = ("is", "its worker") if len(untaken) == 1 else ("are", "their workers")
    return (
        f"{_named(untaken)} {are} {counted(behind, 'offset')} behind; /readyz of {their},"
        f" at {hosts}, says why no commands are taken, if anybody is there"
    )


def _named(partitions: Collection[int]) -> str:
    numbers = ", ".join(map(str, sorted(partitions)))
    return f"partition{'' if len(partitions) == 1 else 's'} {numbers}"
