"""A partition's records: each is answered, in one write with its state and its offset."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import blake2b
from typing import Any

import pytest

from jetworker.core.command import CommandId, DeliveryId, RouteName
from jetworker.core.delivery import (
    Delivery,
    Event,
    EventType,
    Intent,
    PendingAdopt,
    ReasonCode,
    State,
    Terms,
)
from jetworker.core.errors import SetAside, StoreError
from jetworker.core.finished import Remembered
from jetworker.core.lifecycle import set_aside
from jetworker.core.orders import MOST
from jetworker.core.route import Route
from jetworker.core.trigger import AdoptRefused, Begun, Blocked, Lost, Undecided
from jetworker.kafka.growth import Homes
from jetworker.kafka.state_store import Write
from jetworker.wire import handing, snapshots
from jetworker.wire.events import Envelope
from jetworker.wire.record import Record
from jetworker.worker import intake
from jetworker.worker.handle import DeliveryHandle
from tests.support.builders import DELIVERY, JOB, NOW, a_delivery, an_origin
from tests.support.fakes import HandClock
from tests.support.life import Life

ARCHIVE = RouteName("archive")
SEND = {"commandId": "c-1", "route": "archive", "objects": [{"relativePath": "/a.mov"}]}
HEADERS = (("x", b"1"), ("traceparent", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"))


@dataclass
class Message:
    """A record as aiokafka hands it over."""

    value: bytes | None
    offset: int
    key: bytes | None = b"the key"
    headers: tuple[tuple[str, bytes], ...] = HEADERS
    topic: str = "jet.commands"
    partition: int = 3
    timestamp: int = 1_795_000_000_000


@dataclass
class Desk(Life):
    """A partition that takes records, and what it wrote about them."""

    routes: Mapping[RouteName, Route] = field(
        default_factory=lambda: {ARCHIVE: Route(ARCHIVE, job_name="archive")}
    )

    async def take(self, value: Any, **changes: Any) -> Write:
        """Take one record, and return the one write that answers it."""
        raw = value if isinstance(value, bytes) else json.dumps(value).encode()
        number = len(self.store.writes)
        message = Message(raw, offset=100 + number, **changes)
        await self.receive(message)
        (write,) = self.store.writes[number:]
        assert write.offset == message.offset + 1
        return write

    def holds(self, command_id: CommandId) -> None:
        """Let a command be held after a start that was lost."""
        begun = Begun(Intent(JOB, NOW, NOW), Terms())
        for trigger in (begun, Lost("no answer"), Undecided("not decided")):
            DeliveryHandle(self.partition, command_id).tell(trigger)

    async def receive(self, message: Message) -> None:
        """Take a record, and let those know who wait for its answer to be durable."""
        await intake.receive(self.partition, message)
        await asyncio.sleep(0)

    def failed(self, where: str) -> float | None:
        """Return how often our own code has failed."""
        return self.registry.get_sample_value(
            "jetworker_internal_errors_total", {"where": where}
        )

    def counted(self, outcome: str) -> float | None:
        """Return how many records were answered so."""
        return self.registry.get_sample_value(
            "jetworker_commands_total", {"outcome": outcome}
        )


@pytest.fixture
def desk() -> Desk:
    return Desk()


def told(write: Write) -> list[tuple[str, str]]:
    """Return the topics of a write's records, and the types of those that are events."""
    return [
        (record.topic, (dict(record.headers).get("ce_type") or b"").decode())
        for record in write.records
    ]


async def test_a_command_is_accepted_with_its_snapshot_its_event_and_its_offset(
    desk: Desk,
) -> None:
    write = await desk.take(SEND)

    accepted = "io.jetworker.delivery.accepted"
    assert told(write) == [("jet.state", ""), ("jet.events", accepted)]
    snapshot = snapshots.decode(write.records[0].value or b"")
    assert isinstance(snapshot, Delivery)
    assert (snapshot.command_id, snapshot.state) == ("c-1", State.ACCEPTED)
    assert desk.starter.taken == ["c-1"]
    assert desk.counted("accepted") == 1


async def test_a_repeat_is_a_duplicate_and_is_not_started(desk: Desk) -> None:
    await desk.take(SEND)

    write = await desk.take(SEND)

    assert told(write) == [("jet.events", "io.jetworker.command.duplicate")]
    assert desk.starter.taken == ["c-1"]
    assert desk.counted("duplicate") == 1


async def test_what_cannot_be_read_is_parked_byte_for_byte_in_the_same_write(
    desk: Desk,
) -> None:
    write = await desk.take(b"{poison")

    rejected = "io.jetworker.command.rejected"
    assert told(write) == [("jet.events", rejected), ("jet.dead-letters", "")]
    letter = write.records[1]
    assert (letter.key, letter.value) == (b"the key", b"{poison")
    assert set(HEADERS) < set(letter.headers)
    assert desk.counted("rejected") == 1


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (SEND | {"commandId": "c-2", "route": "nowhere"}, "unknown_route"),
        (SEND | {"metadata": {"other": "content"}}, "conflict"),
        ({"commandId": "c-9", "type": "cancel"}, "unknown_command"),
        ({"commandId": "c-1", "type": "resolve", "action": "resend"}, "not_held"),
    ],
)
async def test_what_does_not_fit_is_rejected_with_its_reason(
    desk: Desk, record: dict[str, Any], reason: str
) -> None:
    await desk.take(SEND)

    write = await desk.take(record)

    answer, letter = write.records
    assert json.loads(answer.value or b"")["reason"]["code"] == reason
    assert dict(letter.headers)["jetworker-reason"] == reason.encode()


async def test_a_cancel_is_applied_and_ends_its_command_in_one_write(
    desk: Desk,
) -> None:
    await desk.take(SEND)

    write = await desk.take({"commandId": "c-1", "type": "cancel"})

    assert told(write) == [
        ("jet.state", ""),
        ("jet.events", "io.jetworker.delivery.cancelled"),
        ("jet.events", "io.jetworker.command.applied"),
    ]
    assert desk.partition.find(CommandId("c-1")) is None
    assert desk.counted("applied") == 1


async def test_an_order_behind_an_adopt_is_kept_and_answered_with_it(
    desk: Desk,
) -> None:
    order = {"commandId": "c-1", "type": "resolve"}
    await desk.take(SEND)
    desk.holds(CommandId("c-1"))
    adopt = await desk.take(order | {"action": "adopt", "deliveryId": "nobody"})

    resend = await desk.take(order | {"action": "resend"})
    for _ in range(MOST - 1):
        await desk.take({"commandId": "c-1", "type": "cancel"})
    refused = await desk.take(order | {"action": "abandon"})
    number = len(desk.store.writes)
    await desk.partition.apply(CommandId("c-1"), AdoptRefused())
    await asyncio.sleep(0)

    assert told(adopt) == told(resend) == [("jet.state", "")]
    rejected = [
        ("jet.events", "io.jetworker.command.rejected"),
        ("jet.dead-letters", ""),
    ]
    assert told(refused) == rejected
    (write,) = desk.store.writes[number:]
    assert told(write) == [
        ("jet.state", ""),
        *rejected,
        ("jet.events", "io.jetworker.command.applied"),
        *rejected * (MOST - 1),
    ]
    cleared = desk.partition.find(CommandId("c-1"))
    assert cleared is not None
    assert (cleared.state, cleared.orders) == (State.CLEARED, ())
    assert (desk.counted("applied"), desk.counted("rejected")) == (1, MOST + 1)


async def test_a_record_without_key_or_value_stops_nothing(desk: Desk) -> None:
    message = Message(None, 100, key=None, headers=())

    await desk.receive(message)
    await desk.take(SEND)

    assert desk.counted("rejected") == desk.counted("accepted") == 1


async def test_an_answer_that_is_not_durable_is_not_counted(desk: Desk) -> None:
    lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    lost.set_exception(StoreError("fenced"))

    counted = desk.partition.services.counted("accepted", lost)
    with pytest.raises(StoreError):
        await counted
    await asyncio.sleep(0)

    assert desk.counted("accepted") == 0


def failing(desk: Desk, monkeypatch: pytest.MonkeyPatch, *kinds: EventType) -> None:
    """Let our own code fail on telling these events, or all of c-1."""
    right = desk.partition.terms.envelope.event

    def event(_: Envelope, told: Event, *rest: Any) -> Any:
        if told.delivery.command_id == "c-1" and (not kinds or told.type in kinds):
            raise RuntimeError("/show/unreleased.mov")
        return right(told, *rest)

    monkeypatch.setattr(Envelope, "event", event)


async def test_a_record_on_which_our_code_fails_is_parked_and_counted(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(desk, monkeypatch)

    write = await desk.take(SEND)
    await desk.take(SEND | {"commandId": "c-2"})

    answer, letter = write.records
    told = json.loads(answer.value or b"")
    assert (told["commandId"], told["reason"]["code"]) == ("c-1", "internal_error")
    assert dict(answer.headers)["traceparent"] == dict(HEADERS)["traceparent"]
    assert json.loads(letter.value or b"") == SEND
    assert desk.failed("record") == 1
    assert desk.counted("accepted") == desk.counted("rejected") == 1


async def test_a_step_on_which_our_code_fails_is_not_taken(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.take(SEND)
    failing(desk, monkeypatch, EventType.WAITING)
    blocked = Blocked(ReasonCode.LIMIT, "full")

    with pytest.raises(SetAside):
        await desk.partition.apply(CommandId("c-1"), blocked)

    assert [told(each) for each in desk.store.writes[1:]] == [
        [("jet.state", ""), ("jet.events", "io.jetworker.delivery.failed")]
    ]
    assert desk.failed("delivery") == 1
    assert isinstance(desk.partition.known(CommandId("c-1")), Remembered)


async def test_where_nothing_can_be_told_of_one_it_is_left_and_not_begun_anew(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.take(SEND)
    failing(desk, monkeypatch)

    desk.partition.set_aside(CommandId("c-1"), RuntimeError())
    write = await desk.take(SEND)

    assert desk.partition.deliveries == {}
    assert desk.partition.unstarted == 0
    answer, _letter = write.records
    assert json.loads(answer.value or b"")["reason"]["code"] == "internal_error"
    assert len(desk.store.writes) == 2


async def restored(desk: Desk, delivery: Delivery) -> None:
    await desk.partition.restore(
        {delivery.command_id.encode(): snapshots.encode(delivery)}
    )


async def test_an_adopt_of_its_own_delivery_is_applied_at_once(desk: Desk) -> None:
    held = set_aside(a_delivery(State.IN_PROGRESS), NOW).delivery
    await restored(desk, held)
    adopt = {"commandId": "c-1", "type": "resolve", "action": "adopt"}

    write = await desk.take(adopt | {"deliveryId": DELIVERY})

    assert told(write) == [
        ("jet.state", ""),
        ("jet.events", "io.jetworker.delivery.started"),
        ("jet.events", "io.jetworker.command.applied"),
    ]
    delivery = desk.partition.find(CommandId("c-1"))
    assert delivery is not None
    assert (delivery.state, delivery.adopted) == (State.STARTED, False)
    assert desk.counted("applied") == 1


async def test_an_order_that_waits_is_answered_where_its_delivery_is_set_aside(
    desk: Desk,
) -> None:
    pending = PendingAdopt(DeliveryId("d-9"), an_origin(), b"k", b"{}")
    held = a_delivery(State.HELD, published=State.UNCERTAIN, pending=pending)
    await restored(desk, held)

    desk.partition.set_aside(CommandId("c-1"), RuntimeError())
    await asyncio.sleep(0)

    (write,) = desk.store.writes
    assert told(write) == [
        ("jet.state", ""),
        ("jet.events", "io.jetworker.command.rejected"),
        ("jet.dead-letters", ""),
    ]
    assert (write.records[-1].key, write.records[-1].value) == (b"k", b"{}")
    assert desk.counted("rejected") == 1


async def test_a_snapshot_that_cannot_be_read_is_left_and_the_others_go_on(
    desk: Desk,
) -> None:
    other = a_delivery(command_id=CommandId("c-2"))

    await desk.partition.restore(
        {b"c-1": b'{"v":2,"open":{}}', b"c-2": snapshots.encode(other)}
    )
    await desk.partition.resume()
    sent = await desk.take(SEND)
    cancelled = await desk.take({"commandId": "c-1", "type": "cancel"})

    assert desk.starter.taken == ["c-2"]
    for write in (sent, cancelled):
        answer, letter = write.records
        assert json.loads(answer.value or b"")["reason"]["code"] == "internal_error"
        assert letter.topic == "jet.dead-letters"
    assert desk.failed("delivery") == 1


def elsewhere(desk: Desk, command_id: str, partition: int) -> None:
    """Let the topics have grown, and a command be known on another partition."""
    known = blake2b(command_id.encode(), digest_size=16).digest()
    desk.partition.homes = Homes(8, {known: partition})


@pytest.mark.parametrize(
    "record",
    [SEND, {"commandId": "c-1", "type": "cancel"}],
    ids=["again", "an order"],
)
async def test_what_another_partition_knows_is_handed_over_with_the_offset(
    desk: Desk, record: dict[str, Any]
) -> None:
    elsewhere(desk, "c-1", 6)

    (handed,) = (await desk.take(record)).records

    assert (handed.topic, handed.partition) == ("jet.state", 6)
    assert json.loads(handing.decode(handed.value or b"").value or b"") == record
    assert desk.starter.taken == []


async def test_a_new_command_is_handed_over_to_its_home(desk: Desk) -> None:
    desk.partition.homes = Homes(8)
    home = desk.partition.homes.home(CommandId("c-1"))
    assert home != desk.partition.partition

    (handed,) = (await desk.take(SEND)).records

    assert handed.partition == home


async def test_what_is_known_here_is_answered_here_after_a_growth(desk: Desk) -> None:
    await desk.take(SEND)
    elsewhere(desk, "c-1", 6)

    write = await desk.take(SEND)

    assert told(write) == [("jet.events", "io.jetworker.command.duplicate")]


async def test_what_was_handed_over_is_answered_about_where_it_was_read(
    desk: Desk,
) -> None:
    await desk.take(SEND)
    message = Message(json.dumps(SEND).encode(), offset=40, partition=7)
    handed = handing.encode(message, "jet.state", 3, 6)
    assert handed.key is not None
    assert handed.value is not None

    await intake.receive_handed(desk.partition, handed.key, handed.value)

    write = desk.store.writes[-1]
    answer, taken_away = write.records
    body = json.loads(answer.value or b"")
    assert (body["partition"], body["offset"]) == (7, 40)
    assert taken_away == Record("jet.state", handed.key, None, partition=3)
    assert write.offset is None


async def test_what_was_handed_over_and_is_forgotten_here_goes_home(desk: Desk) -> None:
    elsewhere(desk, "c-1", 3)
    message = Message(json.dumps(SEND).encode(), offset=40, partition=7)
    handed = handing.encode(message, "jet.state", 3, 6)
    assert desk.partition.homes is not None

    await intake.receive_handed(desk.partition, handed.key or b"", handed.value or b"")

    on, taken_away = desk.store.writes[-1].records
    home = desk.partition.homes.home(CommandId("c-1"))
    of = desk.partition.homes.partitions
    assert on == handing.encode(message, "jet.state", home, of)
    assert (taken_away.key, taken_away.value) == (handed.key, None)


async def test_a_new_command_that_was_handed_over_is_accepted_at_home(
    desk: Desk,
) -> None:
    at_home = next(
        CommandId(f"h-{n}")
        for n in range(99)
        if Homes(8).home(CommandId(f"h-{n}")) == desk.partition.partition
    )
    desk.partition.homes = Homes(8)
    value = json.dumps(SEND | {"commandId": at_home}).encode()
    message = Message(value, offset=40, partition=7)
    handed = handing.encode(message, "jet.state", 3, 6)

    await intake.receive_handed(desk.partition, handed.key or b"", handed.value or b"")

    write = desk.store.writes[-1]
    snapshot = snapshots.decode(write.records[0].value or b"")
    assert isinstance(snapshot, Delivery)
    assert (snapshot.command_id, snapshot.read_at) == (at_home, (7, 40))
    assert (write.records[-1].key, write.records[-1].value) == (handed.key, None)


@pytest.mark.parametrize("is_first", [True, False], ids=["before", "after"])
async def test_a_command_handed_over_and_read_here_too_is_begun_once_in_either_order(
    desk: Desk, *, is_first: bool
) -> None:
    """What is handed over may be seen later than what was published after it."""
    homes = Homes(8)
    ids = (CommandId(f"h-{n}") for n in range(99))
    at_home = next(x for x in ids if homes.home(x) == desk.partition.partition)
    desk.partition.homes = homes
    value = json.dumps(SEND | {"commandId": at_home}).encode()
    message = Message(value, offset=40, partition=7)
    handed = handing.encode(message, "jet.state", 3, 8)
    assert handed.key is not None
    assert handed.value is not None

    if is_first:
        await intake.receive_handed(desk.partition, handed.key, handed.value)
        await desk.receive(Message(value, offset=100))
    else:
        await desk.receive(Message(value, offset=100))
        await intake.receive_handed(desk.partition, handed.key, handed.value)

    answers = [kind for write in desk.store.writes for _, kind in told(write)]
    assert answers.count("io.jetworker.delivery.accepted") == 1
    assert answers.count("io.jetworker.command.duplicate") == 1
    assert desk.starter.taken == [at_home]
    (taken_away,) = (
        record
        for write in desk.store.writes
        for record in write.records
        if record.key == handed.key
    )
    assert taken_away.value is None


async def test_a_cancel_that_overtakes_what_is_handed_over_is_refused_and_not_lost(
    desk: Desk,
) -> None:
    """The command that it speaks of comes later, and is begun."""
    homes = Homes(8)
    ids = (CommandId(f"h-{n}") for n in range(99))
    at_home = next(x for x in ids if homes.home(x) == desk.partition.partition)
    desk.partition.homes = homes
    value = json.dumps(SEND | {"commandId": at_home}).encode()
    handed = handing.encode(Message(value, 40, partition=7), "jet.state", 3, 8)
    assert handed.key is not None
    assert handed.value is not None

    refused = await desk.take({"commandId": at_home, "type": "cancel"})
    await intake.receive_handed(desk.partition, handed.key, handed.value)
    await asyncio.sleep(0)

    assert ("jet.events", "io.jetworker.command.rejected") in told(refused)
    assert desk.starter.taken == [at_home]


async def test_the_row_of_a_forgotten_one_is_taken_away_where_it_is() -> None:
    """The events topic has grown: by the id alone it would be looked for elsewhere."""
    clock = HandClock()
    desk = Desk(deliveries="jet.deliveries", clock=clock)
    await desk.take(SEND)
    write = await desk.take({"commandId": "c-1", "type": "cancel"})
    ended = write.records[0].value
    assert [(each.topic, each.partition) for each in write.records][:3] == [
        ("jet.state", 3),
        ("jet.events", 0),
        ("jet.deliveries", 0),
    ]
    assert write.records[2].value == write.records[1].value
    assert ended is not None

    successor = Desk(deliveries="jet.deliveries", clock=clock)
    await successor.partition.restore({b"c-1": ended})

    clock.at += timedelta(days=8).total_seconds()
    for each in (desk, successor):
        await each.partition.forget(10)
        assert each.store.writes[-1].records == (
            Record("jet.state", b"c-1", None, partition=3),
            Record("jet.deliveries", b"c-1", None, partition=0),
        )
