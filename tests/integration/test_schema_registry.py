"""A real Schema Registry, Confluent's own serializer, and a worker that reads it."""

import asyncio
import base64
import json
from pathlib import Path

import httpx
import pytest
from uv import find_uv_bin

from jetworker.cli import schemas
from tests.cli.test_registry import publish
from tests.support.invariants import judge
from tests.support.registry import serving
from tests.support.system import System, a_command

pytestmark = [
    pytest.mark.integration,
    pytest.mark.nightly,  # 160 MB to fetch once, and half a minute to start
]

CLIENT = "confluent-kafka[json,schemaregistry]==2.16.1"
# Reads a command a line, and writes each as a producer with this serializer would.
SERIALIZE = """
import base64, json, sys
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.json_schema import JSONSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
client = SchemaRegistryClient({"url": sys.argv[1]})
schema = client.get_latest_version(sys.argv[2] + "-value").schema
how = {"auto.register.schemas": False, "use.latest.version": True}
serialize = JSONSerializer(schema, client, conf=how)
context = SerializationContext(sys.argv[2], MessageField.VALUE)
for line in sys.stdin:
    print(base64.b64encode(serialize(json.loads(line), context)).decode())
"""


async def serialized(url: str, topic: str, *commands: object) -> list[bytes]:
    """Return the values that Confluent's serializer makes, in a Python of its own."""
    process = await asyncio.create_subprocess_exec(
        *(find_uv_bin(), "run", "--quiet", "--isolated", "--no-project"),
        *("--with", CLIENT, "python", "-c", SERIALIZE, url, topic),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    lines = "".join(f"{json.dumps(each)}\n" for each in commands)
    said, _ = await process.communicate(lines.encode())
    assert process.returncode == 0
    return [base64.b64decode(line) for line in said.split()]


def registered(url: str) -> list[str]:
    """Return the registry's subjects."""
    found: list[str] = httpx.get(f"{url}/subjects", trust_env=False).json()
    return sorted(found)


def demand_compatibility(url: str, subject: str, other: object) -> None:
    """Register something else there, and let what follows be judged by it."""
    rule = {"compatibility": "BACKWARD"}
    body = {"schemaType": "JSON", "schema": json.dumps(other)}
    for answer in (
        httpx.post(f"{url}/subjects/{subject}/versions", json=body, trust_env=False),
        httpx.put(f"{url}/config/{subject}", json=rule, trust_env=False),
    ):
        assert answer.is_success, answer.text


async def test_what_confluents_serializer_writes_by_our_schema_is_carried_out(
    system: System, tmp_path: Path
) -> None:
    topics = system.config.topics
    named = {"JETWORKER_TOPICS__COMMANDS": topics.commands}
    subjects = [f"{topics.commands}-value", "told-value"]
    commands = [a_command(f"framed-{n}") for n in range(3)]
    with serving(tmp_path) as url:
        first, second = await publish(url, **named), await publish(url, **named)
        assert first == (
            0,
            "".join(f"{each}: version 1, registered\n" for each in subjects),
        )
        assert second == (0, first[1].replace("registered", "there already"))

        latest = {**json.loads(schemas.of_events()), "description": "as it was"}
        await asyncio.to_thread(demand_compatibility, url, "others-value", latest)
        others = {"JETWORKER_TOPICS__EVENTS": "others"}
        assert await publish(url, **named, **others) == (
            0,
            f"{subjects[0]}: version 1, there already\n"
            "others-value: version 2, registered\n",
        )
        of_2020 = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
        await asyncio.to_thread(demand_compatibility, url, "new-value", of_2020)
        code, said = await publish(url, **named, JETWORKER_TOPICS__EVENTS="new")
        # It cannot compare drafts of 2020.
        assert (code, "it cannot compare ours" in said) == (1, True), said
        assert registered(url) == sorted([*subjects, "others-value", "new-value"])

        values = await serialized(url, topics.commands, *commands)

    assert {value[:1] for value in values} == {b"\0"}
    await (await system.worker()).ready()
    await system.publish(*values)
    events = await system.terminal(len(commands))

    judge(events, commands, system.jet)
    assert {e.kind for e in events if e.is_terminal} == {"delivery.completed"}
