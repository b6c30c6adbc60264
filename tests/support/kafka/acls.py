"""A real Kafka that asks who you are, and what you may do."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest
from aiokafka.protocol.api import Request

from jetworker.sandbox.kafka import broker as kafka_port
from jetworker.sandbox.kafka.broker import EmbeddedKafka

USER, PASSWORD = "jetworker", "kafka-canary"
_PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"
_ALLOW = 3


class Resource(IntEnum):
    """What a right is for (KIP-140's numbers)."""

    TOPIC = 2
    GROUP = 3
    TRANSACTIONAL_ID = 5


class Operation(IntEnum):
    """What may be done with it (KIP-140's numbers)."""

    READ = 3
    WRITE = 4
    DESCRIBE = 8


class Pattern(IntEnum):
    """How it is named (KIP-290's numbers)."""

    LITERAL = 3
    PREFIXED = 4


@dataclass(frozen=True)
class Right:
    """One line of an access list."""

    resource: Resource
    name: str
    operation: Operation
    pattern: Pattern = Pattern.LITERAL

    @property
    def fields(self) -> tuple[int, str, int, str, str, int, int]:
        """As the protocol has it."""
        return (
            self.resource,
            self.name,
            self.pattern,
            f"User:{USER}",
            "*",
            self.operation,
            _ALLOW,
        )


def guarded(
    tls: Mapping[str, str] | None = None, door: str | None = None, **more: str
) -> tuple[EmbeddedKafka, str]:
    """
    Return a broker, not started, and the address where our user signs in.

    Without signing in, at its usual address, everything is allowed: for the test. With
    *tls* (settings of the listener) it is by TLS; clients come by the *door* then, if
    there is one. *more* are settings of the broker, with underscores.
    """
    return asking(
        {
            "sasl.enabled.mechanisms": "PLAIN",
            "plain.sasl.jaas.config": (f'{_PLAIN} required user_{USER}="{PASSWORD}";'),
            **(tls or {}),
        },
        {
            "authorizer.class.name": (
                "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
            ),
            "super.users": "User:ANONYMOUS",
            **{name.replace("_", "."): value for name, value in more.items()},
        },
        protocol="SASL_PLAINTEXT" if tls is None else "SASL_SSL",
        door=door,
    )


def asking(
    listener: Mapping[str, str],
    broker: Mapping[str, str],
    *,
    protocol: str = "SASL_PLAINTEXT",
    door: str | None = None,
    port: int | None = None,
) -> tuple[EmbeddedKafka, str]:
    """
    Return a broker, not started, and the address of a *listener* that asks who comes.

    At the broker's usual address nobody is asked. *door* is where clients are sent to.
    """
    ports = kafka_port.free_ports()
    sasl = port or kafka_port.free_ports()[0]
    plain = f"PLAINTEXT://127.0.0.1:{ports[0]}"
    listeners = f"{plain},GUARDED://127.0.0.1:{sasl}"
    settings = {
        "listeners": f"{listeners},CONTROLLER://127.0.0.1:{ports[1]}",
        "advertised.listeners": f"{plain},GUARDED://{door}" if door else listeners,
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": (
            f"PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,GUARDED:{protocol}"
        ),
        **{f"listener.name.guarded.{name}": value for name, value in listener.items()},
        **broker,
    }
    return EmbeddedKafka(settings=settings, ports=ports), f"127.0.0.1:{sasl}"


async def grant(servers: str, rights: Iterable[Right]) -> None:
    """Allow our user these."""
    for right in rights:
        answer = await _ask(servers, CreateAclsRequest(*right.fields))
        assert answer.creation_responses[0][0] == 0, answer


async def withdraw(servers: str, right: Right) -> None:
    """Allow it no more."""
    answer = await _ask(servers, DeleteAclsRequest(*right.fields))
    assert len(answer.filter_responses[0][2]) == 1, answer


async def _ask(servers: str, request: Request[Any]) -> Any:
    """Send what the admin client has no method for."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        return await admin._send_to_controller(request)  # noqa: SLF001 -- no other way
    finally:
        await admin.close()
