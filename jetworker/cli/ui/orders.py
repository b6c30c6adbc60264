"""
What an operator may have done by the page: named, explained, and published.

An order is the record that `jetworker resolve` and `jetworker cancel` publish, on the
partition that knows the command. Its answer comes as an event, like any other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from aiokafka import AIOKafkaProducer

from jetworker.config.model import Config
from jetworker.core.installation import Group, Row
from jetworker.kafka.clients import bounded
from jetworker.wire import commands


class Action(StrEnum):
    """What can be ordered."""

    CANCEL = "cancel"
    ADOPT = "adopt"
    RESEND = "resend"
    ABANDON = "abandon"


@dataclass(frozen=True, slots=True)
class Meaning:
    """Which commands an action is for, and what follows from it."""

    group: Group
    verb: str
    consequence: str


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
}


async def publish(
    config: Config, action: Action, rows: Sequence[Row], delivery_id: str = ""
) -> None:
    """Publish an order for each command; raises StoreError, or InvalidRecord."""
    values = [(row, _encode(config, action, row, delivery_id)) for row in rows]
    producer = AIOKafkaProducer(**config.kafka.client_options(), acks="all")
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
