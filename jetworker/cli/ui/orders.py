"""
What an operator may have done by the page: named, explained, and published.

An order is the record that `jetworker resolve` and `jetworker cancel` publish, on the
partition that knows the command. Its answer comes as an event, like any other. To send
again, and to replay, is what `jetworker resend` and `jetworker dead-letters replay` do.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from aiokafka import AIOKafkaProducer

from jetworker.cli import dead_letters
from jetworker.cli.resend import send_again
from jetworker.config.model import Config
from jetworker.core.installation import Group, Position, Row
from jetworker.kafka.clients import bounded
from jetworker.kafka.sign_in import client_options
from jetworker.wire import commands
from jetworker.wire.dead_letters import Position as LetterPosition


class Action(StrEnum):
    """What can be ordered."""

    CANCEL = "cancel"
    ADOPT = "adopt"
    RESEND = "resend"
    ABANDON = "abandon"
    SEND_AGAIN = "send-again"
    SEND_FAILED = "send-failed"


@dataclass(frozen=True, slots=True)
class Meaning:
    """
    Which commands an action is for, and what follows from it.

    One that *makes_commands* does so each time that it is published.
    """

    group: Group
    verb: str
    consequence: str
    makes_commands: bool = False


MEANINGS = {
    Action.CANCEL: Meaning(
        Group.WAITING,
        "Cancel",
        "They end as cancelled and nothing is moved. One that was started meanwhile, or"
        " whose start may have been sent, is refused: Jet has no way to stop it.",
    ),
    Action.ADOPT: Meaning(
        Group.HELD,
        "Adopt",
        "The delivery of this id at Jet is taken for the command's own and followed to"
        " its end. Jet is asked first; one that it does not know there is refused.",
    ),
    Action.RESEND: Meaning(
        Group.HELD,
        "Start again",
        "They are started again. If the lost start did reach Jet, the same objects are"
        " delivered twice: look at the job in Jet's console first.",
    ),
    Action.ABANDON: Meaning(
        Group.HELD,
        "Abandon",
        "They end as failed, reason abandoned. What Jet perhaps does with them goes on"
        " there, and nobody follows it.",
    ),
    Action.SEND_AGAIN: Meaning(
        Group.FAILED,
        "Send everything again",
        "All their objects are sent as new commands, each under its id and the next"
        " free number. What was delivered is delivered once more.",
        makes_commands=True,
    ),
    Action.SEND_FAILED: Meaning(
        Group.FAILED,
        "Send again what failed",
        "The objects that Jet's files say have failed are sent as new commands, each"
        " under its id and the next free number. Where Jet does not name all of them,"
        " nothing is sent.",
        makes_commands=True,
    ),
}
REPLAY = (
    "Their records are published again as they were, to the partitions that they were"
    " read from, each once. What is still wrong with them is refused again: repair it"
    " first."
)


class Publisher:
    """Publishes what was confirmed."""

    def __init__(self, config: Config, environ: Mapping[str, str]) -> None:
        self._config = config
        self._environ = environ

    async def order(
        self, action: Action, rows: Sequence[Row], delivery_id: str = ""
    ) -> None:
        """Publish an order for each command; raises StoreError, or InvalidRecord."""
        await _publish(self._config, action, rows, delivery_id)

    async def send_again(
        self, command_ids: Sequence[str], *, failed_only: bool
    ) -> tuple[str, ...]:
        """Send ended commands again, all or none; returns the new ids."""
        resent = await send_again(
            self._config, self._environ, command_ids, failed_only=failed_only
        )
        return tuple(each.resent_as for each in resent)

    async def replay(self, places: Iterable[Position]) -> frozenset[Position]:
        """Publish the records of dead letters again; returns of which. StoreError."""
        meant = (LetterPosition(each.partition, each.offset) for each in places)
        done = await dead_letters.replay_at(self._config, meant)
        return frozenset(Position(each.partition, each.offset) for each in done)


async def _publish(
    config: Config, action: Action, rows: Sequence[Row], delivery_id: str
) -> None:
    values = [(row, _encode(config, action, row, delivery_id)) for row in rows]
    producer = AIOKafkaProducer(**client_options(config.kafka), acks="all")
    try:
        await bounded(producer.start(), "connecting")
        for row, value in values:
            sent = producer.send(
                config.topics.commands,
                value,
                row.command_id.encode(),
                partition=row.at.partition,
            )
            await bounded(sent, "publishing")
        await bounded(producer.flush(), "publishing")
    finally:
        await producer.stop()


def _encode(config: Config, action: Action, row: Row, delivery_id: str) -> bytes:
    fields = {"commandId": str(row.command_id)}
    if action is Action.CANCEL:
        fields |= {"type": "cancel"}
    else:
        fields |= {"type": "resolve", "action": action.value}
    if action is Action.ADOPT:
        fields |= {"deliveryId": delivery_id}
    value = commands.encode(fields)
    commands.decode(value, (), max_objects=config.limits.max_objects)
    return value
