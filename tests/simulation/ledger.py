"""What only the broker and Jet know: who wrote what with what, who posted on what."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime

from aiokafka import TopicPartition

from jetworker.core.command import Origin
from jetworker.core.delivery import Delivery, State
from jetworker.wire import handing, positions, snapshots
from jetworker.wire.handing import HANDED
from tests.simulation.broker import BEGINNING, Entry, Fate, Transaction
from tests.simulation.documents import EPOCH
from tests.simulation.judgement import Judgement
from tests.simulation.world import LEASE, SESSION, World

_LONGEST = 20.0  # seconds from an intent to its commit, and more


def judge_posts(judgement: Judgement, world: World) -> None:
    """Each start has an intent that was committed before, and to itself."""
    for command_id, age in world.jet.ages:
        about = f"{command_id}: {age:.3f} s after its intent"
        is_in_time = age <= LEASE
        judgement.check("no start is sent past its lease", is_in_time, about)
    for about, is_right in world.jet.in_flight.together:
        judgement.check("what is in flight together may be", is_right, about)
    for about, is_right in world.jet.led:
        judgement.check("a start goes where its route leads", is_right, about)
    before: defaultdict[tuple[str, int], list[str]] = defaultdict(list)
    for post in world.jet.posts:
        about = f"{post.node} at {post.at:.3f}: {post.command_id}"
        has_intent = post.intent is not None
        judgement.check("a start has a committed intent", has_intent, about)
        if post.intent is None:
            continue
        earlier = before[post.command_id, post.intent]
        is_alone = all(each in {"400", "401"} for each in earlier)
        judgement.check("an intent is sent once", is_alone, f"{about} {earlier}")
        earlier.append(post.answer)


def judge_dates(judgement: Judgement, world: World) -> None:
    """An intent is dated by Jet's clock, whatever other clocks say (R7)."""
    topic = world.settings.config.topics.state
    for number in range(world.broker.partitions[topic]):
        for entry in world.broker.logs[TopicPartition(topic, number)].committed():
            if snapshots.is_own(entry.key) or not entry.value or not entry.transaction:
                continue
            found = entry.snapshot
            if not isinstance(found, Delivery) or found.state is not State.STARTING:
                continue
            assert found.intent is not None
            assert found.intent.jet_time is not None
            jet_time = (found.intent.jet_time - EPOCH).total_seconds()
            late = entry.timestamp / 1000 - BEGINNING - jet_time
            about = f"{found.command_id}: {late:.3f} s after its date"
            judgement.check("an intent is dated by Jet", 0 <= late < _LONGEST, about)


def judge_expiry(judgement: Judgement, world: World, doubted: set[str]) -> None:
    """
    Nothing is sent much later than its command allows, by clocks that are right.

    But what was *doubted* may be: expiry ends only what was never sent.
    """
    if any(node.skew for node in world.nodes):
        return
    ends = {
        each["commandId"]: datetime.fromisoformat(each["expiresAt"])
        for each in world.commands
        if "expiresAt" in each
    }
    for post in world.jet.posts:
        if post.command_id in ends and post.command_id not in doubted:
            late = post.at - (ends[post.command_id] - EPOCH).total_seconds()
            about = f"{post.command_id} {late:.3f} s after its end"
            judgement.check("what has expired is not sent", late < SESSION, about)


def judge_decisions(judgement: Judgement, world: World) -> None:
    """
    What was decided is judged by itself, not only by what became of it.

    A start that is made again while the one before was applied is wrong, also if the
    second is lost as well; an adoption of another's is, also if the command ends well.
    """
    made = {(d.command_id, d.intent) for d in world.jet.deliveries}
    owner = {d.delivery_id: d.command_id for d in world.jet.deliveries}
    for before, intent, after in _decisions(world):
        about = f"{after.command_id} after the intent at {intent}"
        if after.state is State.CLEARED:
            judgement.check(
                "a start is made again only where none was applied",
                (after.command_id, intent) not in made,
                about,
            )
        elif before.pending is None and after.delivery_id is not None:
            judgement.check(
                "what is adopted is what was asked for",
                owner.get(after.delivery_id) == after.command_id,
                f"{about}: {after.delivery_id}",
            )


def started_again(world: World) -> list[tuple[str, str]]:
    """Return whose starts a look-up had made again, and on which job."""
    return [
        (before.command_id, before.intent.job_id)
        for before, _, after in _decisions(world)
        if after.state is State.CLEARED and before.intent is not None
    ]


def waited_behind_an_adopt(world: World) -> int:
    """Return how many orders had to wait for Jet's word on the one before them."""
    topic = world.settings.config.topics.state
    return sum(
        len(set(_waiting(entry)[1:]))
        for number in range(world.broker.partitions[topic])
        for entry in world.broker.logs[TopicPartition(topic, number)].committed()
    )


def _decisions(world: World) -> Iterator[tuple[Delivery, int | None, Delivery]]:
    """
    Yield what look-ups decided: from what, where its intent is, if kept, and to what.

    An operator's orders come from what is held, and are not among them.
    """
    topic = world.settings.config.topics.state
    for number in range(world.broker.partitions[topic]):
        latest: dict[bytes, Delivery] = {}
        intents: dict[bytes, int] = {}
        for entry in world.broker.logs[TopicPartition(topic, number)].committed():
            if snapshots.is_own(entry.key) or not entry.key or not entry.value:
                continue
            if entry.transaction is None:  # from before the run
                continue
            after = entry.snapshot
            if not isinstance(after, Delivery):
                continue
            before = latest.get(entry.key)
            latest[entry.key] = after
            if after.state is State.STARTING:
                intents[entry.key] = entry.offset
            if before is None or before.state not in {State.UNCERTAIN, State.HELD}:
                continue
            is_again = after.state is State.CLEARED and before.state is State.UNCERTAIN
            if is_again or after.adopted:
                yield before, intents.get(entry.key), after


def judge_transactions(judgement: Judgement, world: World) -> None:
    """What belongs together is in one transaction, and one at a time writes."""
    topics = world.settings.config.topics
    for number in range(world.broker.partitions[topics.state]):
        state = world.broker.logs[TopicPartition(topics.state, number)].committed()
        _judge_writers(judgement, number, state)
    _judge_steps(judgement, world)
    for number in range(world.broker.partitions[topics.commands]):
        _judge_offset(judgement, world, number)


def _judge_writers(judgement: Judgement, number: int, state: list[Entry]) -> None:
    # All that are empty are begun at once, before the first is owned by anybody.
    # What is handed over is written by the owner of another partition.
    owned = [e for e in state if e.key != positions.BEGINNING and not _is_handed(e)]
    writers = [e.transaction for e in owned if e.transaction]
    names = {each.writer for each in writers}
    epochs = [each.epoch for each in writers]
    is_one = len(names) <= 1 and epochs == sorted(epochs)
    about = f"partition {number}: {names} {epochs}"
    judgement.check("a state partition has one writer at a time", is_one, about)


def _is_handed(entry: Entry) -> bool:
    return bool(entry.key and entry.key.startswith(HANDED) and entry.value)


def handed_over(world: World) -> int:
    """Return how many records were handed over to the partition that answers."""
    topic = world.settings.config.topics.state
    return sum(
        _is_handed(entry)
        for number in range(world.broker.partitions[topic])
        for entry in world.broker.logs[TopicPartition(topic, number)].committed()
    )


def _judge_steps(judgement: Judgement, world: World) -> None:
    """The last event of a command in a transaction is as its snapshot in it says."""
    topics = world.settings.config.topics
    told: dict[tuple[Transaction, bytes], int] = {}
    kept: dict[tuple[Transaction, bytes], int] = {}
    for partition, log in world.broker.logs.items():
        for entry in log.committed():
            if entry.transaction is None or not entry.key or not entry.value:
                continue
            where = (entry.transaction, entry.key)
            if partition.topic == topics.events:
                number = entry.event.data.get("sequence")
                if number is not None:
                    told[where] = number
            elif partition.topic == topics.state and not snapshots.is_own(entry.key):
                kept[where] = entry.snapshot.sequence
    for where, number in told.items():
        about = f"{where[1].decode()} {number}, snapshot {kept.get(where)}"
        is_same = kept.get(where) == number
        judgement.check("event and snapshot are one transaction", is_same, about)


def _judge_offset(judgement: Judgement, world: World, number: int) -> None:
    """The group's offset never passes a record that nothing shows yet."""
    commands = TopicPartition(world.settings.config.topics.commands, number)
    shown_by = _shown_by(world, number)
    moves = [
        (each.decided, each.offsets[commands])
        for each in world.broker.transactions
        if each.fate is Fate.COMMITTED and commands in each.offsets
    ]
    for entry in world.broker.logs[commands].entries:
        passed = min((at for at, to in moves if to > entry.offset), default=None)
        if passed is not None:
            shown = shown_by.get(entry.offset, shown_by.get(entry.key))
            is_shown = shown is not None and shown <= passed
            about = f"{number}/{entry.offset}: passed by {passed}, shown by {shown}"
            judgement.check("the offset passes what is reflected", is_shown, about)


def _shown_by(world: World, number: int) -> dict[int | bytes | None, int]:
    """
    Return the first transaction that shows each record.

    Its answer, or that it is handed over, that an adopt is pending or an order behind
    it, or, by key, that its command is accepted.
    """
    topics = world.settings.config.topics
    found: dict[int | bytes | None, int] = {}
    for partition, log in world.broker.logs.items():
        for entry in log.committed():
            if entry.transaction is None or not entry.value:
                continue
            offsets: list[int | bytes | None] = []
            if partition.topic == topics.events:
                offsets = _answered(entry, number)
            elif partition.topic == topics.state:
                offsets = _remembered(entry, number)
            for offset in offsets:
                first = found.get(offset, entry.transaction.decided)
                found[offset] = min(first, entry.transaction.decided)
    return found


def _answered(entry: Entry, number: int) -> list[int | bytes | None]:
    data = entry.event.data
    if data.get("sequence") == 1:
        return [entry.key]
    return [data["offset"]] if data.get("partition") == number else []


def _remembered(entry: Entry, number: int) -> list[int | bytes | None]:
    if _is_handed(entry):
        handed = handing.decode(entry.value or b"")
        return [handed.offset] if handed.partition == number else []
    return [each.offset for each in _waiting(entry) if each.partition == number]


def _waiting(entry: Entry) -> list[Origin]:
    """Return where an adopt that is pending was read, then the orders behind it."""
    if snapshots.is_own(entry.key) or not entry.value:
        return []
    snapshot = entry.snapshot
    if not isinstance(snapshot, Delivery) or not snapshot.pending:
        return []
    return [snapshot.pending.origin, *(each.origin for each in snapshot.orders)]
