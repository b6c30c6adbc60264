"""One run: some workers, some commands, a storm, a calm, and what must be true then."""

import asyncio
import contextlib
import zlib
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import orjson
from aiokafka import TopicPartition
from prometheus_client import CollectorRegistry
from typing_extensions import override

from jetworker.cli.run import work
from jetworker.config.load import load
from jetworker.config.model import Config, ShutdownConfig
from jetworker.core.delivery import Delivery, State
from jetworker.jet.client import client_on
from jetworker.jet.connection import Connection
from jetworker.runtime.clock import Clock
from jetworker.runtime.metrics import Metrics
from jetworker.wire import positions
from jetworker.wire.positions import POSITION
from jetworker.worker.assembly import Outside, assemble
from jetworker.worker.route_table import RouteTable
from tests.simulation.broker import BEGINNING, Broker, Entry, is_shown
from tests.simulation.clients import SimulatedKafka
from tests.simulation.crowd import crowd
from tests.simulation.documents import EPOCH, now
from tests.simulation.gateway import Gateway
from tests.simulation.group import Group
from tests.simulation.growth import Growth
from tests.simulation.jet import JOBS, Jet
from tests.simulation.late import LateBroker
from tests.simulation.line import Line
from tests.simulation.moves import LONELY, Moves
from tests.simulation.node import Node, current
from tests.simulation.past import Past
from tests.simulation.wire import Transport

PARTITIONS = 2
GROUPS = ("jetworker", "renamed")
SESSION = 3.0
SETTLE = 4.0
LEASE = SESSION / 2 + 0.002  # broker timestamps are whole milliseconds


def configure(routes: Path) -> Config:
    """Return the settings of every simulated worker."""
    return load(
        {
            "JETWORKER_KAFKA__BOOTSTRAP_SERVERS": "nowhere:9092",
            "JETWORKER_KAFKA__SESSION_TIMEOUT": f"{SESSION}s",
            "JETWORKER_KAFKA__TRANSACTION_TIMEOUT": "2s",
            "JETWORKER_JET__BASE_URL": "https://jet.invalid",
            "JETWORKER_JET__CLIENT_ID": "simulated",
            "JETWORKER_JET__CLIENT_SECRET": "simulated",
            "JETWORKER_JET__REQUEST_TIMEOUT": "1s",
            "JETWORKER_JET__REQUESTS_PER_SECOND": "200",
            "JETWORKER_POLLING__MIN_INTERVAL": "500ms",
            "JETWORKER_POLLING__MAX_INTERVAL": "2s",
            "JETWORKER_STARTS__SETTLE": f"{SETTLE}s",
            "JETWORKER_STARTS__MAX_ATTEMPTS": "9",
            "JETWORKER_SHUTDOWN__TIMEOUT": "3s",
            "JETWORKER_ROUTES_FILE": str(routes),
        }
    )


class SimulatedClock(Clock):
    """The virtual time, as wrong as the node's wall clock is, and the seed's luck."""

    def __init__(self, node: Node) -> None:
        self._node = node

    @override
    def now(self) -> datetime:
        """Return the wall clock of the simulated world."""
        return now() + timedelta(seconds=self._node.skew)

    @override
    def jitter(self) -> float:
        """Return a number in [0, 1)."""
        return self._node.luck.random()


@dataclass
class Settings:
    """What all runs of one process share: reading and registering them is slow."""

    config: Config
    metrics: Metrics = field(default_factory=lambda: Metrics(CollectorRegistry(), "0"))


@dataclass
class World:
    """Everything that exists in one run."""

    settings: Settings
    luck: Random
    broker: Broker
    groups: dict[str, Group]
    jet: Jet
    nodes: list[Node] = field(default_factory=list)
    stops: dict[str, asyncio.Event] = field(default_factory=dict)
    kafkas: list[SimulatedKafka] = field(default_factory=list)
    tasks: list["asyncio.Task[None]"] = field(default_factory=list)
    trace: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    struck: int = 0
    is_calm: bool = False
    sent: set[str] = field(default_factory=set)
    commands: list[dict[str, Any]] = field(default_factory=list)
    repeated: dict[tuple[int, int], str] = field(default_factory=dict)
    resolved: Counter[str] = field(default_factory=Counter)
    ordered: set[str] = field(default_factory=set)
    trouble: float = 0.0
    is_peaceful: bool = False
    group_id: str = GROUPS[0]
    forgotten: int = 0
    growth: Growth | None = None
    moves: Moves | None = None
    defects_before: float = 0.0
    past: Past | None = None
    crowd: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def make(
        cls, settings: Settings, luck: Random, seed: int = 0, past: Past | None = None
    ) -> "World":
        """Make a world in which nobody lives yet."""
        topics = settings.config.topics
        partitions = dict.fromkeys(
            (topics.commands, topics.events, topics.state, topics.dead_letters),
            PARTITIONS,
        )
        commands = [TopicPartition(topics.commands, n) for n in range(PARTITIONS)]
        broker = Broker(partitions, Random(luck.random()))
        jets = luck.random()
        groups = {name: Group(commands, SESSION) for name in GROUPS}
        growth = Growth.of(seed, PARTITIONS)
        jet = Jet(Random(jets), past)
        made = cls(settings, luck, broker, groups, jet, growth=growth, past=past)
        made.crowd = crowd(seed, JOBS)
        made._draw_faults(seed)
        made._remember()
        made.defects_before = made.defects()
        jet.intent_of = made.intent_of
        return made

    def _draw_faults(self, seed: int) -> None:
        """Have what only some seeds have, and no trap: chance would spoil it."""
        if self.is_trap:
            return
        self.jet.line = Line.of(seed)
        self.jet.gateway = Gateway.of(seed)
        self.broker.late = LateBroker.of(seed)
        self.moves = Moves.of(seed, self.settings.config.routes_file.parent)
        if self.moves is not None:
            self.jet.led_to = self._led_to
            self.jet.listing[LONELY] = "nothing"

    def _led_to(self, node: Node, command_id: str) -> set[str]:
        """Return where a command's route has led, as a worker knew since its intent."""
        assert self.moves is not None
        (route, *_) = (
            each["route"] for each in self.commands if each["commandId"] == command_id
        )
        now = asyncio.get_running_loop().time()
        entry = self._intent(command_id)
        snapshot = None if entry is None else entry.snapshot
        since = now - LEASE
        if isinstance(snapshot, Delivery) and snapshot.intent is not None:
            # It may have been written by a clock that was wrong at that time.
            at = (snapshot.intent.written_at - EPOCH).total_seconds() - node.skew
            since = at if since <= at <= now else since
        return self.moves.led_to(node.name, route, since)

    def _route_table(self, node: Node) -> RouteTable:
        """Return the routes as a worker reads them."""
        metrics, moves = self.settings.metrics, self.moves
        if moves is None:
            return RouteTable(self.settings.config.routes_file, metrics)
        table = RouteTable(moves.path, metrics)

        def note() -> None:
            leads = {
                str(name): str(route.job_id or route.job_name)
                for name, route in table.current().items()
            }
            moves.knows(node.name, asyncio.get_running_loop().time(), leads)

        note()
        table.on_change(note)
        return table

    def _remember(self) -> None:
        """Let the state topic know what was before."""
        if self.past is None:
            return
        topic = self.settings.config.topics.state
        for number in range(PARTITIONS):
            owner = positions.encode_owner(GROUPS[0])
            where = TopicPartition(topic, number)
            self.broker.append(where, positions.BEGINNING, owner)
        for key, value in self.past.snapshots().items():
            self.broker.append(self.broker.place(topic, key), key, value)

    def intent_of(self, command_id: str) -> tuple[int, float] | None:
        """Return where and when the command's last committed intent was written."""
        entry = self._intent(command_id)
        if entry is None:
            return None
        return entry.offset, entry.timestamp / 1000 - BEGINNING

    def _intent(self, command_id: str) -> Entry | None:
        key = command_id.encode()
        for state in self._known_at(key):
            for entry in reversed(self.broker.logs[state].entries):
                is_its = entry.key == key and entry.value and is_shown(entry)
                if is_its and entry.snapshot.state is State.STARTING:
                    return entry
        return None

    def _known_at(self, key: bytes) -> list[TopicPartition]:
        """Return the state partitions in which a command may be."""
        topic = self.settings.config.topics.state
        if self.growth is None:
            return [self.broker.place(topic, key)]
        every = range(self.broker.partitions[topic])
        return [TopicPartition(topic, number) for number in every]

    @property
    def is_trap(self) -> bool:
        """Whether one row of R2 is all that keeps a lost start from being made again."""
        return self.past is not None and self.past.is_trap

    def is_known(self, command_id: str) -> bool:
        """Whether a command was accepted by now."""
        key = command_id.encode()
        return any(
            entry.key == key and is_shown(entry)
            for state in self._known_at(key)
            for entry in self.broker.logs[state].entries
        )

    def is_served(self) -> bool:
        """Whether any partition has an owner, or had one."""
        topic = self.settings.config.topics.state
        every = (TopicPartition(topic, n) for n in range(self.broker.partitions[topic]))
        return any(
            entry.key == POSITION and is_shown(entry)
            for state in every
            for entry in self.broker.logs[state].entries
        )

    def defects(self) -> float:
        """Return how often our own code has failed in this run."""
        (family,) = self.settings.metrics.internal_errors_total.collect()
        counted = (x.value for x in family.samples if x.name.endswith("_total"))
        return sum(counted) - self.defects_before

    def say(self, what: str) -> None:
        """Keep a line for who replays this run."""
        self.trace.append(f"{asyncio.get_running_loop().time():8.3f} {what}")

    def spawn(self, fate: Callable[[Node, str], str | None]) -> Node:
        """Start a worker process."""
        node = Node(f"w{len(self.nodes) + 1}", Random(self.luck.random()), fate)
        node.is_prompt = self.is_peaceful
        self.nodes.append(node)
        self.stops[node.name] = asyncio.Event()
        self.say(f"{node.name} begins")
        token = current.set(node)
        task = asyncio.get_running_loop().create_task(self._live(node, self.group_id))
        current.reset(token)
        self.tasks.append(task)
        return node

    async def _live(self, node: Node, group_id: str) -> None:
        config, metrics = self.settings.config, self.settings.metrics
        kafka_config = config.kafka.model_copy(update={"group_id": group_id})
        config = config.model_copy(update={"kafka": kafka_config})
        if self.is_peaceful:  # a stop that has no time leaves a start in doubt, rightly
            config = config.model_copy(update={"shutdown": ShutdownConfig()})
        topics = config.topics
        kafka = SimulatedKafka(config.kafka, topics, self.broker, self.groups, node)
        kafka.trouble.chance = self.trouble
        self.kafkas.append(kafka)
        transport = Transport(self.jet, node)
        clock = SimulatedClock(node)
        stopping = self.stops[node.name]
        outside = Outside(
            kafka,
            client_on(
                Connection(transport, transport, config.jet.base_url, "simulated"),
                config.jet,
                lambda: ("simulated", "simulated"),
                clock,
                metrics,
            ),
            self._route_table(node),
            clock,
            metrics,
        )
        try:
            parts = assemble(config, outside)
            await work(parts, stopping, config)
        except* asyncio.CancelledError:
            pass
        except* Exception as group:  # noqa: BLE001 -- whatever it is, it is a finding
            self.broken += [f"{node.name} fell: {each!r}" for each in group.exceptions]
        self.say(f"{node.name} is gone")
        node.kill()

    def living(self) -> list[Node]:
        """Return the processes that are not dead or told to stop."""
        return [
            node
            for node in self.nodes
            if not node.is_dead and not self.stops[node.name].is_set()
        ]

    def calm(self) -> None:
        """Let nobody be struck and Kafka fail no more."""
        self.is_calm = True
        self.trouble = 0.0
        for kafka in self.kafkas:
            kafka.trouble.chance = 0.0

    def publish(
        self, body: dict[str, Any] | bytes, timestamp: int | None = None
    ) -> tuple[int, int]:
        """Publish one record on the commands topic; returns where it is."""
        value = body if isinstance(body, bytes) else orjson.dumps(body)
        command_id = body.get("commandId") if isinstance(body, dict) else None
        if isinstance(body, dict) and "route" in body and "expiresAt" not in body:
            self.sent.add(body["commandId"])
        key = command_id.encode() if isinstance(command_id, str) else None
        where = self._place(key)
        offset = self.broker.append(where, key, value, timestamp=timestamp)
        self.say(f"published {command_id} at {where.partition}/{offset}")
        return where.partition, offset

    def _place(self, key: bytes | None) -> TopicPartition:
        """Return where a publisher puts a key, by the partitions that it knows of."""
        topic = self.settings.config.topics.commands
        if self.growth is None:
            return self.broker.place(topic, key)
        count = self.growth.luck.choice(self.growth.by)
        return TopicPartition(topic, zlib.crc32(key or b"") % count)

    async def end(self) -> None:
        """Kill everybody."""
        for node in self.nodes:
            node.kill()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*self.tasks, return_exceptions=True)


Scene = Callable[[World], Coroutine[Any, Any, None]]
