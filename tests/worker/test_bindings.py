"""What the state topic says of a job, also where a snapshot of it cannot be read."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, cast

import orjson
import pytest

from jetworker.core.command import CommandId, DeliveryId, JobId
from jetworker.core.delivery import State
from jetworker.core.errors import StoreError
from jetworker.core.resumption import Position
from jetworker.kafka.clients import KafkaClients
from jetworker.kafka.reader import HighWatermarks
from jetworker.wire import positions, snapshots
from jetworker.worker.reconciliation import bindings as module
from jetworker.worker.reconciliation.bindings import Bindings
from tests.support.builders import DELIVERY, JOB, a_delivery

OTHER = JobId("another-job")
THEIRS = DeliveryId("theirs")


@dataclass(frozen=True)
class Row:
    """A record of the state topic."""

    key: bytes
    value: bytes | None
    partition: int = 0


class Topics:
    """Names of topics."""

    state = "jet.state"


class Kafka:
    """As much of it as is asked for."""

    topics = Topics()


def of_a_newer_version(job_id: JobId) -> bytes:
    return orjson.dumps({"v": 2, "open": {"job_id": job_id, "delivery_id": THEIRS}})


ROWS = [
    Row(b"c-1", snapshots.encode(a_delivery(State.IN_PROGRESS))),
    Row(b"c-2", of_a_newer_version(JOB)),
    Row(b"c-3", of_a_newer_version(OTHER)),
]
GARBAGE = Row(b"c-4", b"\x00\xff not a snapshot of any version")


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[Row]:
    rows = list(ROWS)

    async def read(*_: Any) -> AsyncIterator[list[Row]]:
        yield rows

    monkeypatch.setattr(module, "read", read)
    return rows


@pytest.mark.parametrize(("job_id", "unreadable"), [(JOB, "c-2"), (OTHER, "c-3")])
async def test_a_snapshot_that_cannot_be_read_concerns_the_jobs_that_it_names(
    rows: list[Row], job_id: JobId, unreadable: str
) -> None:
    found = await Bindings(cast(KafkaClients, Kafka())).read(job_id)

    assert found.unreadable.keys() == {CommandId(unreadable)}
    assert found.doubt is not None
    assert unreadable in found.doubt
    assert len(rows) == len(ROWS)


async def test_one_that_is_no_document_may_concern_every_job(rows: list[Row]) -> None:
    del rows[1:]
    rows.append(GARBAGE)
    bindings = Bindings(cast(KafkaClients, Kafka()))

    found = [await bindings.read(each) for each in (JOB, OTHER)]

    assert [each.unreadable.keys() for each in found] == [{CommandId("c-4")}] * 2
    assert found[0].known.keys() == {DELIVERY}


async def test_what_it_names_is_taken_and_nothing_else(rows: list[Row]) -> None:
    bindings = Bindings(cast(KafkaClients, Kafka()))

    found = await bindings.read(JOB)
    again = await bindings.read(JOB)

    assert [found.is_bound(each) for each in (THEIRS, DELIVERY)] == [True, True]
    assert not found.is_taken(DeliveryId("somebody-else-s"))
    assert again == found
    assert rows == ROWS


async def test_once_it_is_written_anew_nothing_is_in_doubt(rows: list[Row]) -> None:
    bindings = Bindings(cast(KafkaClients, Kafka()))
    await bindings.read(JOB)

    rows.append(Row(b"c-2", None))

    assert (await bindings.read(JOB)).doubt is None


async def test_an_id_that_was_forgotten_elsewhere_is_known_where_it_came_again(
    rows: list[Row],
) -> None:
    """After a growth its home is another partition; they are read in any order."""
    del rows[1:]
    rows.append(Row(b"c-1", None, partition=1))

    found = await Bindings(cast(KafkaClients, Kafka())).read(JOB)

    assert found.is_bound(DELIVERY)


@pytest.mark.parametrize("is_late_twice", [True, False])
async def test_what_a_broker_does_not_show_that_is_late_to_know_of_a_growth_is_missed(
    monkeypatch: pytest.MonkeyPatch, *, is_late_twice: bool
) -> None:
    """Its delivery would be nobody's, and be adopted for another command."""
    noted = positions.encode(Position("g", 7, "id", 2, 2, is_grown=True))
    shown = [Row(positions.POSITION, noted)]
    hidden = Row(b"c-1", snapshots.encode(a_delivery(State.IN_PROGRESS)), partition=1)

    async def read(_: Any, __: str, end: HighWatermarks) -> AsyncIterator[list[Row]]:
        if is_late_twice and end.at_least > 1:
            raise StoreError
        yield shown if end.at_least < 2 else [*shown, hidden]

    monkeypatch.setattr(module, "read", read)
    bindings = Bindings(cast(KafkaClients, Kafka()))

    if is_late_twice:
        with pytest.raises(StoreError):
            await bindings.read(JOB)
    else:
        assert (await bindings.read(JOB)).is_bound(DELIVERY)


async def test_a_partition_that_is_lost_lets_nobody_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    noted = positions.encode(Position("g", 7, "id", 2, 2))
    ends: list[int] = []

    async def read(_: Any, __: str, end: HighWatermarks) -> AsyncIterator[list[Row]]:
        ends.append(end.at_least)
        yield [ROWS[0], Row(positions.POSITION, noted)]

    monkeypatch.setattr(module, "read", read)

    assert (await Bindings(cast(KafkaClients, Kafka())).read(JOB)).is_bound(DELIVERY)
    assert ends == [0, 2]


async def test_a_claim_counts_while_a_start_is_unknown(rows: list[Row]) -> None:
    """An earlier version carries one on that it does not know."""
    claims = {"c-5": State.UNCERTAIN, "c-6": State.HELD, "c-7": State.STARTED}
    rows[:] = [
        Row(
            name.encode(),
            snapshots.encode(
                a_delivery(state, command_id=CommandId(name), claimed=THEIRS)
            ),
        )
        for name, state in claims.items()
    ]

    found = await Bindings(cast(KafkaClients, Kafka())).read(JOB)

    assert found.claimants(THEIRS, CommandId("c-6")) == {CommandId("c-5")}
