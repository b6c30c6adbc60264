"""What `docs/consuming.md` tells a consumer to run does what it says, as it stands."""

import asyncio
import re
import sys
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from jetworker.config.model import TopicsConfig
from jetworker.core.delivery import Event, EventType, Reason, ReasonCode, State
from jetworker.wire.events import Envelope
from tests.support.builders import NOW, a_delivery

PAGE = Path(__file__).parents[2] / "docs" / "consuming.md"

pytestmark = pytest.mark.integration


async def test_the_table_shows_where_every_command_is(
    kafka: str, topics: TopicsConfig, tmp_path: Path
) -> None:
    (code,) = re.findall("```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    script = tmp_path / "table.py"
    script.write_text(code)
    reason = Reason(ReasonCode.EXPIRED, "too late")
    told = [
        Event(EventType.ACCEPTED, a_delivery(command_id="a", sequence=1)),
        Event(EventType.ACCEPTED, a_delivery(command_id="b", sequence=1)),
        Event(
            EventType.FAILED,
            a_delivery(
                State.FAILED,
                published=State.FAILED,
                command_id="a",
                sequence=2,
                reason=reason,
            ),
        ),
    ]
    envelope = Envelope(topics.events, "/jetworker/x")
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        for event in told:
            record = envelope.event(event, NOW)
            headers = list(record.headers)
            await producer.send_and_wait(
                record.topic, record.value, record.key, headers=headers
            )

    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(script), kafka, topics.events),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()

    assert process.returncode == 0
    assert sorted(out.decode().splitlines()) == ["a\tfailed\texpired", "b\taccepted\t"]
    assert len(code.splitlines()) <= 35
