"""What must be true at the end of a run: topics, Jet's ledger, and both together."""

from collections import defaultdict
from typing import Any

from aiokafka import TopicPartition

from jetworker.cli.audit import compose
from jetworker.core.audit import History
from jetworker.core.audit import judge as judge_topics
from jetworker.wire.events import ReadEvent
from tests.simulation.broker import Entry
from tests.simulation.documents import Delivery, progress
from tests.simulation.judgement import Judgement
from tests.simulation.ledger import (
    judge_dates,
    judge_decisions,
    judge_expiry,
    judge_posts,
    judge_transactions,
)
from tests.simulation.world import World

_TERMINAL = {"delivery.completed", "delivery.failed", "delivery.cancelled"}


def records(world: World, topic: str) -> list[Entry]:
    """Return what a reader of committed records sees of a topic."""
    return [
        entry
        for number in range(world.broker.partitions[topic])
        for entry in world.broker.logs[TopicPartition(topic, number)].committed()
    ]


def history(world: World) -> History:
    """Return the history that the product's own audit judges."""
    topics = world.settings.config.topics
    # What was before the run has its events in a topic that nobody reads any more.
    before = world.past.snapshots() if world.past is not None else {}
    state = (each for each in records(world, topics.state) if each.key not in before)
    return compose(
        state,
        records(world, topics.commands),
        records(world, topics.events),
        records(world, topics.dead_letters),
        {tp.partition: offset for tp, offset in world.broker.offsets.items()},
    )


def told(world: World) -> dict[str, list[ReadEvent]]:
    """Return the events of every accepted command, in order."""
    found: defaultdict[str, list[ReadEvent]] = defaultdict(list)
    for record in records(world, world.settings.config.topics.events):
        event = record.event
        if event.command_id and not event.kind.startswith("command."):
            found[event.command_id].append(event)
    return dict(found)


def is_over(event: ReadEvent) -> bool:
    """Whether an event ends its delivery."""
    return event.kind in _TERMINAL


def lag(world: World) -> int:
    """Return how many records of the commands topic are not answered."""
    total = 0
    topic = world.settings.config.topics.commands
    for number in range(world.broker.partitions[topic]):
        partition = TopicPartition(topic, number)
        end = world.broker.logs[partition].end
        total += end - world.broker.offsets.get(partition, 0)
    return total


def judge(world: World) -> Judgement:
    """Judge a world that had time to come to rest."""
    judgement = Judgement()
    whole = history(world)
    verdict = judge_topics(whole)
    judgement.checked.update({str(k): n for k, n in verdict.checked.items()})
    judgement.wrong += [f"{which}: {what}" for which, what in verdict.violations]
    judgement.wrong += world.broken
    judgement.check("no record is unanswered", lag(world) == 0, f"lag {lag(world)}")
    failed = world.defects()
    judgement.check("no code of ours fails", not failed, f"{failed} set aside")
    back = world.broker.went_back
    judgement.check("the offset never goes back", not back, str(back))
    of = told(world)
    for command_id in world.sent:
        judgement.check("every valid command is accepted", command_id in of, command_id)
    for command_id, events in of.items():
        _judge_delivery(judgement, world, command_id, events)
    _judge_repeated(judgement, world, whole)
    _judge_orders(judgement, world, whole)
    judge_transactions(judgement, world)
    judge_posts(judgement, world)
    judge_dates(judgement, world)
    judge_decisions(judgement, world)
    doubted = {
        command_id
        for command_id, events in of.items()
        if any(event.kind == "delivery.uncertain" for event in events)
    }
    judge_expiry(judgement, world, doubted)
    if world.is_peaceful:
        judgement.check(
            "no start is doubted without a reason", not doubted, f"{doubted}"
        )
    hasty = world.jet.hasty
    judgement.check("what Jet holds back waits", not hasty, str(hasty[:5]))
    for delivery in world.jet.deliveries:
        asked_for = delivery.command_id is None or delivery.command_id in of
        judgement.check("Jet made what was accepted", asked_for, delivery.delivery_id)
    _judge_strangers(judgement, world, of)
    return judgement


def _judge_repeated(judgement: Judgement, world: World, whole: History) -> None:
    """What is published again is a duplicate for ever, or a conflict."""
    answers = {
        (event.data.get("partition"), event.data.get("offset")): event.kind
        for event in whole.events
    }
    for where, expected in world.repeated.items():
        about = f"{where} {answers.get(where)}"
        is_right = answers.get(where) == expected
        judgement.check("a command again is known again", is_right, about)


def _judge_orders(judgement: Judgement, world: World, whole: History) -> None:
    """What is ordered of a command reaches it, wherever it arrives after a growth."""
    if world.growth is None:
        return
    unknown = {
        (event.data["partition"], event.data["offset"])
        for event in whole.events
        if event.kind == "command.rejected"
        and event.data["reason"]["code"] == "unknown_command"
    }
    for where in world.growth.orders:
        is_right = where not in unknown
        judgement.check("an order reaches its command", is_right, str(where))


def _judge_delivery(
    judgement: Judgement, world: World, command_id: str, events: list[ReadEvent]
) -> None:
    made = world.jet.of(command_id)
    last = events[-1]
    ids = [d.delivery_id for d in made]
    judgement.check("at most one delivery", len(made) <= 1, f"{command_id}: {ids}")
    judgement.check(
        "every accepted command ends", is_over(last), f"{command_id}: {last.kind}"
    )
    if last.kind == "delivery.completed":
        bound = [last.data["deliveryId"]]
        judgement.check("what completed was made", ids == bound, f"{command_id} {ids}")
    if made and is_over(last):
        _judge_end(judgement, command_id, last, made[0])


def _judge_end(
    judgement: Judgement, command_id: str, last: ReadEvent, made: Delivery
) -> None:
    """The outcome is Jet's: the counts too."""
    kind = "delivery.failed" if made.failed else "delivery.completed"
    about = f"{command_id}: {last.kind} {last.data.get('reason')}"
    judgement.check("the end is Jet's", last.kind == kind, about)
    counts: Any = last.data.get("progress", {})
    is_same = counts == progress(made)
    judgement.check("the counts are Jet's", is_same, f"{about} {counts}")


def _judge_strangers(
    judgement: Judgement, world: World, of: dict[str, list[ReadEvent]]
) -> None:
    bound = {
        event.data.get("deliveryId"): command_id
        for command_id, events in of.items()
        for event in events
    }
    for delivery in world.jet.deliveries:
        owner = bound.get(delivery.delivery_id)
        is_right = owner is None or owner == delivery.command_id
        about = f"{delivery.delivery_id} of {delivery.command_id} bound to {owner}"
        judgement.check("a delivery is bound to who asked for it", is_right, about)
