"""
What a team writes in an afternoon: a task for each delivery that asks Jet again and again.

No transactions, no state, no duplicates found, nothing looked up: the worker is measured
beside it. `python -m tests.benchmark.peer`, with what it needs in the environment.
"""

import asyncio
import os
import sys
from collections.abc import Mapping
from typing import Any

import httpx
import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

_ENDED = {"COMPLETED", "FAILED", "CANCELLED"}
_CONNECTIONS = 100


class Peer:
    """One process of it."""

    def __init__(self, jet: httpx.AsyncClient, environ: Mapping[str, str]) -> None:
        self._jet = jet
        self._environ = environ
        self._poll = float(environ["PEER_POLL"])
        self._jobs: dict[str, str] = orjson.loads(environ["PEER_JOBS"])
        servers = environ["PEER_KAFKA"]
        self._producer = AIOKafkaProducer(bootstrap_servers=servers)
        self._consumer = AIOKafkaConsumer(
            environ["PEER_COMMANDS"],
            bootstrap_servers=servers,
            group_id=environ["PEER_GROUP"],
            auto_offset_reset="earliest",
        )

    async def run(self) -> None:
        """Log in, and carry every command out in a task of its own."""
        asked = {"client_id": "demo", "client_secret": self._environ["PEER_SECRET"]}
        answer = await self._jet.post(
            "/oauth/token", json=asked | {"grant_type": "client_credentials"}
        )
        token = answer.raise_for_status().json()["access_token"]
        self._jet.headers["Authorization"] = f"Bearer {token}"
        await self._producer.start()
        await self._consumer.start()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        async with asyncio.TaskGroup() as tasks:
            async for record in self._consumer:
                tasks.create_task(self._carry_out(orjson.loads(record.value)))

    async def _carry_out(self, command: dict[str, Any]) -> None:
        job = f"/v1/jobs/{self._jobs[command['route']]}"
        answer = await self._jet.post(
            f"{job}/deliveries", json={"objects": command["objects"]}
        )
        delivery = answer.raise_for_status().json()["deliveryId"]
        await self._tell(command, "started", deliveryId=delivery)
        last = ""
        while last not in _ENDED:
            await asyncio.sleep(self._poll)
            found = (await self._jet.get(f"{job}/deliveries/{delivery}")).json()
            if found["state"] == last:
                continue
            last = found["state"]
            for each in found["transfers"]:
                await self._jet.get(f"{job}/transfers/{each['transferId']}")
            await self._tell(command, last.lower(), of=found["deliverySummary"])

    async def _tell(self, command: dict[str, Any], state: str, **more: Any) -> None:
        command_id = command["commandId"]
        value = orjson.dumps({"commandId": command_id, "state": state, **more})
        events = self._environ["PEER_EVENTS"]
        await self._producer.send_and_wait(events, value, command_id.encode())


async def main() -> None:
    """Run until killed."""
    limits = httpx.Limits(max_connections=_CONNECTIONS)
    address = os.environ["PEER_JET"]
    async with httpx.AsyncClient(base_url=address, timeout=30, limits=limits) as jet:
        await Peer(jet, os.environ).run()


if __name__ == "__main__":
    asyncio.run(main())
