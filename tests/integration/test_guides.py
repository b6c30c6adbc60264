"""What the tutorial and the cookbook tell to run does what they say, as it stands."""

import asyncio
import os
import re
import sys
from pathlib import Path

import orjson
import pytest
import yaml
from aiokafka import AIOKafkaProducer

from jetworker.config.model import TopicsConfig
from jetworker.core.delivery import Event, EventType, State
from jetworker.kafka.clients import KafkaClients
from jetworker.kafka.reader import STABLE_END, read
from jetworker.sandbox.kafka.broker import free_ports
from jetworker.wire import commands, routes
from jetworker.wire.events import Envelope
from tests.helm.charts import objects
from tests.support.builders import NOW, a_delivery
from tests.support.kafka import broker as brokers
from tests.support.waiting import PATIENCE

DOCS = Path(__file__).parents[2] / "docs"

pytestmark = pytest.mark.integration


def blocks(page: str, language: str) -> list[str]:
    """Return the blocks of a page in one language, in their order."""
    text = (DOCS / page).read_text()
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


async def ran(*arguments: str) -> str:
    """Run a script to its end; returns what it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode == 0
    return out.decode()


@pytest.mark.nightly
@pytest.mark.timeout(300)
async def test_every_block_of_the_tutorial_works_one_after_the_other(
    tmp_path: Path,
) -> None:
    """On other ports than it says, since those may be taken here."""
    script = "\n".join(["set -e", *blocks("tutorial.md", "sh")])
    for written, port in zip(("9092", "8181"), free_ports(), strict=True):
        script = script.replace(written, str(port))
    kept = {n: v for n, v in os.environ.items() if not n.startswith("JETWORKER_")}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"

    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", script),
        env=kept | {"PATH": path, "JETWORKER_HTTP__PORT": "0"},
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 250)
    said = out.decode()

    assert process.returncode == 0, said
    assert "refused: exit code 2" in said
    # One or more: what is sent before the worker has read the routes again is refused too.
    assert re.search(r"replayed: [1-9]", said)


async def test_the_cookbook_s_scripts_publish_a_command_and_wait_for_its_end(
    kafka: str, topics: TopicsConfig, tmp_path: Path
) -> None:
    publish, wait = blocks("cookbook.md", "python")
    for name, code in (("publish.py", publish), ("wait.py", wait)):
        (tmp_path / name).write_text(code)
    envelope = Envelope(topics.events, "/jetworker/x")
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        for name, sequence, state in (
            ("order-2", 1, State.COMPLETED),
            ("order-1", 1, State.ACCEPTED),
            ("order-1", 2, State.FAILED),
        ):
            told = a_delivery(
                state, published=state, command_id=name, sequence=sequence
            )
            kind = EventType(f"delivery.{state}")
            record = envelope.event(Event(kind, told), NOW)
            await producer.send_and_wait(record.topic, record.value, record.key)

    published = (kafka, topics.commands, "order-1", "archive", "/show/ep1.mov")
    _, said = await asyncio.gather(
        ran(str(tmp_path / "publish.py"), *published),
        ran(str(tmp_path / "wait.py"), kafka, topics.events, "order-1", "200"),
    )

    in_vain = await asyncio.create_subprocess_exec(
        *(sys.executable, str(tmp_path / "wait.py")),
        *(kafka, topics.events, "order-3", "1"),
        stderr=asyncio.subprocess.PIPE,
    )
    _, why = await asyncio.wait_for(in_vain.communicate(), PATIENCE)

    assert said == "failed\n"
    assert in_vain.returncode == 1
    assert why == b"no end within 1 s; why: jetworker explain order-3\n"
    clients = KafkaClients(brokers.settings(kafka, topics).kafka, topics)
    found = [
        record
        async for batch in read(clients, topics.commands, STABLE_END)
        for record in batch
    ]
    assert [record.key for record in found] == [b"order-1"]
    command = commands.decode(found[0].value, (), max_objects=1)
    assert command.command_id == "order-1"


def test_the_cookbook_s_values_and_routes_are_taken() -> None:
    *releases, moved = map(yaml.safe_load, blocks("cookbook.md", "yaml"))

    names = [
        each["config"]["topics"][kind]
        for each in releases
        for kind in ("commands", "events", "state", "dead_letters")
    ]
    assert len(names) == len(set(names)) == 8
    assert all(objects(each) for each in releases)
    assert routes.decode(orjson.dumps(moved), "cookbook.md")
