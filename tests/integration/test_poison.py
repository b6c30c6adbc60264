"""Poison of every kind: one answer and one dead letter each, no start, nothing stops."""

import json
from collections import Counter
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.producer import message_accumulator

from jetworker.cli.audit import history
from jetworker.core.audit import ANSWERED, ORIGIN, PARKED, judge
from tests.support.odd_records import NAME, Damaged
from tests.support.system import System, a_command
from tests.support.waiting import until

pytestmark = pytest.mark.integration

MANY = 10_000


def sending(*objects: dict[str, Any], **fields: Any) -> bytes:
    """Return a command that would be valid but for its objects or fields."""
    command = {"commandId": "p", "route": "archive", "objects": list(objects)}
    return json.dumps(command | fields).encode()


def with_path(path: str) -> bytes:
    return sending({"relativePath": path})


LIGHT: dict[str, tuple[bytes | None, str]] = {
    "bad JSON": (b"{poison", "invalid_json"),
    "NaN": (b'{"commandId":"p","metadata":{"a":NaN}}', "invalid_json"),
    "Infinity": (b'{"commandId":"p","metadata":{"a":-Infinity}}', "invalid_json"),
    "duplicate keys": (b'{"commandId":"p","commandId":"q"}', "invalid_json"),
    "invalid UTF-8": (b'{"commandId":"\xff\xfe"}', "invalid_json"),
    "NUL": (b"\x00", "invalid_json"),
    "an escaped NUL": (with_path("/a\x00b"), "invalid_command"),
    "empty": (b"", "invalid_json"),
    "tombstone": (None, "invalid_json"),
    "no object": (b"[1]", "invalid_json"),
    "lone surrogates": (b'{"commandId":"p","route":"\\ud800"}', "invalid_json"),
    "..": (with_path("/a/../b"), "invalid_command"),
    "backslash": (with_path("/a\\b"), "invalid_command"),
    "control characters": (with_path("/a\x1bb"), "invalid_command"),
    "bidi characters": (with_path("/a\u202egpj.exe"), "invalid_command"),
    "relative": (with_path("a"), "invalid_command"),
    "duplicate paths": (
        sending({"relativePath": "/a"}, {"relativePath": "/a"}),
        "invalid_command",
    ),
    "unknown field": (sending({"relativePath": "/a"}, rout="x"), "invalid_command"),
    "unknown route": (sending({"relativePath": "/a"}, route="x"), "unknown_route"),
    "too long an id": (
        sending({"relativePath": "/a"}, commandId="p" * 129),
        "invalid_command",
    ),
}
HEAVY: dict[str, tuple[bytes | None, str]] = {
    "nesting 100,000": (b"[" * 100_000 + b"]" * 100_000, "invalid_json"),
    "10^6 digits": (
        b'{"commandId":"p","metadata":{"a":' + b"1" * 1_000_000 + b"}}",
        "invalid_json",
    ),
    "too large": (sending(metadata={"a": "x" * (1 << 20)}), "too_large"),
    "large only when unpacked": (b"x" * (12 << 20), "too_large"),
    "10,001 objects": (
        sending(*({"relativePath": f"/{n}"} for n in range(10_001))),
        "too_many_objects",
    ),
}
TABLE = LIGHT | HEAVY


async def pour(system: System, values: list[bytes | None]) -> None:
    """Publish records as they are, compressed: the largest are larger than allowed."""
    producer = AIOKafkaProducer(
        bootstrap_servers=system.kafka,
        compression_type="gzip",
        max_request_size=16 << 20,
        linger_ms=20,
    )
    await producer.start()
    try:
        topic = system.config.topics.commands
        for number, value in enumerate(values):
            await producer.send(
                topic, value, b"k", partition=number % system.partitions
            )
        await producer.flush()
    finally:
        await producer.stop()


async def answers(system: System) -> list[Any]:
    return [e for e in await system.events() if e.kind == "command.rejected"]


async def judge_all(system: System, number: int) -> None:
    """Every record is answered once, every poison is parked once, byte for byte."""
    verdict = judge(await history(system.config))
    parked = await system.read(system.config.topics.dead_letters)

    assert verdict.violations == []
    assert verdict.checked[PARKED] == len(parked) == number
    assert verdict.checked[ANSWERED] >= number
    assert verdict.checked[ORIGIN] > 0


async def test_every_kind_is_answered_with_its_reason_and_parked_byte_for_byte(
    system: System,
) -> None:
    await (await system.worker()).ready()
    names = list(TABLE)

    await pour(system, [TABLE[name][0] for name in names])
    await system.publish(a_command("well"))
    await system.terminal(1)

    async def enough() -> bool:
        return len(await answers(system)) >= len(TABLE)

    await until(enough, "an answer to each")
    events = await answers(system)
    reasons = {
        (e.data["partition"], e.data["offset"]): e.data["reason"]["code"]
        for e in events
    }
    places: Counter[int] = Counter()
    for number, name in enumerate(names):
        partition = number % system.partitions
        found = reasons[partition, places[partition]]
        assert found == TABLE[name][1], f"{name}: {found}"
        places[partition] += 1
    await judge_all(system, len(TABLE))
    assert system.jet.count("start_delivery") == 1


async def test_ten_thousand_in_a_row_stop_no_partition(system: System) -> None:
    await (await system.worker()).ready()
    kinds = [value for value, _ in LIGHT.values()]

    await pour(system, [kinds[n % len(kinds)] for n in range(MANY)])
    commands = [a_command(f"well-{n}") for n in range(8)]
    await system.publish(*commands)
    await system.terminal(len(commands))

    async def enough() -> bool:
        return len(await answers(system)) >= MANY

    await until(enough, "an answer to each")
    rejected = await answers(system)
    where = {TopicPartition("", e.data["partition"]) for e in rejected}
    assert len(rejected) == MANY
    assert len(where) == system.partitions
    await judge_all(system, MANY)
    assert system.jet.count("start_delivery") == len(commands)


async def test_a_header_whose_name_is_no_text_stops_nothing(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients in C write bytes; brokers look at none of it."""
    worker = await system.worker()
    await worker.ready()
    headers = [("traceparent", b"00-trace-01"), (NAME.decode(), b"v")]
    bad = a_command("bad")
    with monkeypatch.context() as patch:
        patch.setattr(message_accumulator, "DefaultRecordBatchBuilder", Damaged)
        producer = AIOKafkaProducer(bootstrap_servers=system.kafka)
        await producer.start()
        for value, key in [(json.dumps(bad).encode(), b"bad"), (b"{poison", b"bad")]:
            await producer.send_and_wait(
                system.config.topics.commands, value, key, headers=headers
            )
        await producer.stop()
    await system.publish(a_command("good"))
    await system.terminal(2)

    await judge_all(system, 1)
    (parked,) = await system.read(system.config.topics.dead_letters)
    assert [name for name, _ in parked.headers][:2] == ["traceparent", "\ufffd\ufffdx"]
