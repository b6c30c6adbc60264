"""`jetworker state rebuild`: state partitions that are lost, made anew from what was told."""

import sys
from collections import defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from jetworker.cli.exit_codes import FAILED, OK, REJECTED
from jetworker.cli.orders import is_confirmed
from jetworker.cli.output import document, remark, say
from jetworker.config.model import Config
from jetworker.core.command import Send
from jetworker.core.delivery import Delivery
from jetworker.core.errors import ConfigurationError, InvalidRecord
from jetworker.core.growth import Layout, had_fewer
from jetworker.core.resumption import Kept, Left, Mark, Position, ReadAgain, lost
from jetworker.kafka import topics
from jetworker.kafka.clients import KafkaClients, bounded
from jetworker.kafka.group import offsets_of
from jetworker.kafka.ownership import last_kept, put_back
from jetworker.kafka.placing import place
from jetworker.kafka.reader import STABLE_END, keep, read
from jetworker.runtime.clock import Clock
from jetworker.wire import commands, events, snapshots
from jetworker.wire.events import Envelope, ReadEvent
from jetworker.wire.printed import RebuildData, RebuiltPartitionData
from jetworker.wire.rebuilding import Rebuilt, rebuild
from jetworker.wire.record import Record
from jetworker.wire.units import counted
from jetworker.worker import route_table

_ANSWERS = ("command.rejected", "command.duplicate", "command.applied")


@dataclass
class Told:
    """
    What the commands and events topics still tell.

    *accepted* is where the records are that a command can have been accepted from: the
    first one on each partition that has no answer of its own. *told_at* is when the last
    of its events was told, *anew_since* when the last was told of a command that had its
    id before.
    """

    events: defaultdict[str, list[ReadEvent]] = field(
        default_factory=lambda: defaultdict(list)
    )
    answered: set[tuple[int, int]] = field(default_factory=set)
    sends: dict[str, tuple[int, Send]] = field(default_factory=dict)
    accepted_at: dict[str, int] = field(default_factory=dict)
    told_at: dict[str, int] = field(default_factory=dict)
    anew_since: dict[str, int] = field(default_factory=dict)
    accepted: defaultdict[str, dict[int, int]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    begins: dict[int, int] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)
    taken: dict[int, int] = field(default_factory=dict)
    topic_id: str | None = None
    is_grown: bool = False

    def goes_on(self, partition: int) -> int:
        """
        Return where reading goes on if no offset tells: after what was answered.

        A command was accepted from its one record without another answer, so that was
        read too. Where retention took records, or it came to another partition as well,
        that is not known: it may be a repeat that nobody has answered, as those before.
        """
        taken = [self.taken.get(partition, self.begins[partition])]
        if not any(self.begins.values()):
            alone = (each for each in self.accepted.values() if len(each) == 1)
            taken += (each[partition] + 1 for each in alone if partition in each)
        return max(taken)

    def again(
        self, partition: int, offset: int | None, kept: Kept = Mark.EMPTY
    ) -> ReadAgain | None:
        """
        Return what was read more than once, or perhaps will be.

        With an *offset* that is known nothing is, beside what was *kept*.
        """
        before = kept.again if isinstance(kept, Position) else None
        since = self.goes_on(partition)
        read = [each.get(partition, -1) for each in self.accepted.values()]
        ends = max(read, default=-1) + 1
        if offset is not None or ends <= since:
            return before
        return ReadAgain(since, ends, 1, Left.ALL).and_(before)

    def note_event(self, event: ReadEvent, command_id: str, at: int) -> None:
        """
        Take note of what was told of a command *at* a time.

        An id that was forgotten may be used anew: what was told of it before is of
        another command, whose events may be on another partition after a growth.
        """
        of = self.events[command_id]
        if event.kind == "delivery.accepted":
            if at < self.accepted_at.get(command_id, at):
                self._note_before(command_id, at)
                return
            if of:
                self._note_before(command_id, self.told_at[command_id])
                of.clear()
            self.accepted_at[command_id] = at
        elif of and of[0].partition != event.partition:
            self._note_before(command_id, at)
            return
        of.append(event)
        self.told_at[command_id] = at

    def _note_before(self, command_id: str, at: int) -> None:
        """Take note that an id was another command's *at* a time."""
        self.anew_since[command_id] = max(at, self.anew_since.get(command_id, at))

    def note_taken(self, partition: int, offset: int) -> None:
        """Take note of a record that was answered: so were all before it."""
        self.taken[partition] = max(offset + 1, self.taken.get(partition, 0))

    def note_send(self, send: Send, partition: int, offset: int, at: int) -> None:
        """
        Keep the first record of a command that was accepted, published *at* a time.

        One that is younger than what it would have been answered is none of these, nor is
        one that is older than the end of the command that had its id before.
        """
        if at <= self.anew_since.get(send.command_id, -1):
            return
        self.sends.setdefault(send.command_id, (partition, send))
        if at <= self.accepted_at.get(send.command_id, -1):
            self.accepted[send.command_id].setdefault(partition, offset)

    def partition(self, command_id: str, gone: Container[int]) -> int:
        """
        Return where a command was accepted; by its id if its record is gone.

        That may have been its home, after a growth, if it was not where it arrived.
        """
        home = place(command_id.encode(), len(self.begins))
        arrived, _ = self.sends.get(command_id, (home, None))
        return home if self.is_grown and arrived not in gone else arrived


async def run(config: Config, *, dry_run: bool, is_agreed: bool, as_json: bool) -> int:
    """Say what is lost and what is known of it; make it anew if that is wanted."""
    kafka = KafkaClients(config.kafka, config.topics)
    has_members = await kafka.has_members(config.kafka.group_id)
    if has_members is not False:
        why = "has members: stop its workers" if has_members else "may not be described"
        remark(f"group {config.kafka.group_id} {why}")
        return FAILED
    offsets = await offsets_of(config)
    missing = await topics.missing_state(config)
    if missing and not dry_run:  # and what Kafka has then is what is judged
        await topics.create_state(config)
        missing = 0
    kept = await _kept(kafka, config, missing)
    gone = lost(kept, {each: offsets.get(each) for each in kept}, config.kafka.group_id)
    told = await _told(kafka, config) if gone or not offsets else Told()
    if not gone and told.events:
        gone = _lost_with_offsets(kept)
    told.is_grown = had_fewer(kept, Layout(len(told.begins), len(kept)))
    still = await _still_known(kafka, config) if gone and not missing else {}
    made = {each: _made(config, told, each, gone, still) for each in gone}
    found = [
        _partition(number, gone[number], rebuilt, told, offsets.get(number))
        for number, rebuilt in made.items()
    ]
    if not as_json:
        _tell(found)
    partitions = counted(len(gone), "partition")
    is_wanted = bool(gone) and not dry_run
    if is_wanted and not is_confirmed(f"write {partitions}?", yes=is_agreed):
        return REJECTED
    for each in found if is_wanted else ():
        number = each.partition
        position = Position(
            config.kafka.group_id,
            each.goes_on_at,
            told.topic_id,
            len(told.begins),
            len(kept),
            is_grown=told.is_grown,
            again=told.again(number, offsets.get(number), kept[number]),
        )
        records = _records(config, number, made[number])
        await put_back(kafka, number, records, position, instead_of=kept[number])
    if as_json:
        done = (each.model_copy(update={"rebuilt": is_wanted}) for each in found)
        document(RebuildData(dry_run=dry_run, partitions=tuple(done)))
    elif is_wanted:
        say(f"{partitions} rebuilt, workers may be started")
    return OK


async def _kept(kafka: KafkaClients, config: Config, missing: int) -> dict[int, Kept]:
    """Return what the state partitions keep: those of a topic that is *missing* nothing."""
    if missing:
        return dict.fromkeys(range(missing), Mark.EMPTY)
    return await last_kept(kafka, config.topics.state)


def _lost_with_offsets(kept: Mapping[int, Kept]) -> dict[int, str]:
    """
    Return all partitions, if each is empty.

    A worker takes this for a first start; events of commands say that it is none.
    """
    if any(each is not Mark.EMPTY for each in kept.values()):
        return {}
    why = "it is empty, the group has no offsets, and there are events of commands"
    return dict.fromkeys(kept, why)


async def _told(kafka: KafkaClients, config: Config) -> Told:
    """Read what was told, then the commands that it was told of."""
    told = Told()
    async for batch in read(kafka, config.topics.events, STABLE_END):
        for record in batch:
            event = events.read(record)
            if event.kind in _ANSWERS:
                told.answered.add((event.data["partition"], event.data["offset"]))
            elif event.command_id is not None:
                told.note_event(event, event.command_id, record.timestamp)
    async with kafka.reader(config.topics.commands) as consumer:
        partitions = list(consumer.assignment())
        doing = "reading the commands"
        begins = await bounded(consumer.beginning_offsets(partitions), doing)
        ends = await bounded(consumer.end_offsets(partitions), doing)
        told.begins = {each.partition: offset for each, offset in begins.items()}
        told.ends = {each.partition: offset for each, offset in ends.items()}
        told.topic_id = await kafka.topic_id(consumer)
    async for batch in read(kafka, config.topics.commands, STABLE_END):
        for record in batch:
            _note(told, config, record)
    return told


def _note(told: Told, config: Config, record: Any) -> None:
    """Keep the record that a command was accepted from: it has no other answer."""
    if (record.partition, record.offset) in told.answered:
        told.note_taken(record.partition, record.offset)
        return
    try:
        command = commands.decode(
            record.value, record.headers, max_objects=config.limits.max_objects
        )
    except InvalidRecord:
        return
    if not isinstance(command, Send) or command.command_id not in told.events:
        return
    where = record.partition, record.offset
    told.note_send(command, *where, record.timestamp)


def _made(
    config: Config,
    told: Told,
    partition: int,
    gone: dict[int, str],
    still: Mapping[str, tuple[int, int]],
) -> list[Rebuilt]:
    """Return what is to be written to one partition."""
    try:
        _, routes = route_table.read(config.routes_file)
    except ConfigurationError:
        routes = {}
    now = Clock().now()
    made = []
    for command_id, of in told.events.items():
        if told.partition(command_id, gone) != partition:
            continue
        where, sequence = still.get(command_id, (partition, 0))
        latest = max(int(each.data["sequence"]) for each in of)
        if where not in gone or sequence >= latest:
            continue
        _, command = told.sends.get(command_id, (partition, None))
        route = routes.get(of[-1].data["route"])
        rebuilt = rebuild(of, command, route, now)
        if not _is_forgotten(rebuilt, config, now):
            made.append(rebuilt)
    return made


def _is_forgotten(rebuilt: Rebuilt, config: Config, now: datetime) -> bool:
    """Whether it ended longer ago than ids are remembered."""
    if isinstance(rebuilt.snapshot, Delivery):
        return False
    return rebuilt.snapshot.finished_at + config.dedupe_window < now.astimezone(UTC)


async def _still_known(
    kafka: KafkaClients, config: Config
) -> dict[str, tuple[int, int]]:
    """Return the partition and the sequence of every command that is still known."""
    latest: dict[int, dict[bytes, bytes]] = defaultdict(dict)
    async for batch in read(kafka, config.topics.state, STABLE_END):
        for record in batch:
            keep(latest[record.partition], record.key, record.value)
    return {
        key.decode(): (number, _sequence(value))
        for number, values in latest.items()
        for key, value in values.items()
    }


def _sequence(value: bytes) -> int:
    """Return how far a snapshot is; one that cannot be read is left as it is."""
    try:
        return snapshots.decode(value).sequence
    except snapshots.UnreadableSnapshot:
        return sys.maxsize


def _records(config: Config, partition: int, made: list[Rebuilt]) -> Iterator[Record]:
    envelope = Envelope(config.topics.events, f"/jetworker/{config.kafka.group_id}")
    for each in made:
        key, value = each.snapshot.command_id.encode(), snapshots.encode(each.snapshot)
        yield Record(config.topics.state, key, value, partition=partition)
        if each.event is not None:
            yield envelope.event(each.event, Clock().now())


def _partition(
    number: int, why: str, made: list[Rebuilt], told: Told, offset: int | None
) -> RebuiltPartitionData:
    """Return what becomes of a partition, and what nobody can tell any more."""
    held = sum(each.event is not None for each in made)
    still = sum(isinstance(each.snapshot, Delivery) for each in made) - held
    return RebuiltPartitionData(
        partition=number,
        why=why,
        followed=still,
        remembered=len(made) - held - still,
        held=held,
        goes_on_at=told.goes_on(number) if offset is None else offset,
        gone_before=told.begins[number] or None,
        rebuilt=False,
    )


def _tell(found: Sequence[RebuiltPartitionData]) -> None:
    """Say it for people."""
    for each in found:
        gone = each.gone_before
        retention = f"; commands before offset {gone} are gone" if gone else ""
        say(
            f"partition {each.partition}: {each.why}; {each.followed} followed again,"
            f" {each.remembered} remembered, {each.held} held; goes on at"
            f" {each.goes_on_at}{retention}"
        )
    if not found:
        say("nothing is lost")
