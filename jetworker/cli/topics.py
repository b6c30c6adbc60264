"""`jetworker topics create`: the topics, made where they are missing."""

from jetworker.cli import output
from jetworker.cli.exit_codes import OK
from jetworker.config.model import Config
from jetworker.kafka import topics
from jetworker.wire.printed import TopicData, TopicsData
from jetworker.wire.units import counted


async def create(
    config: Config,
    partitions: int,
    replication: int | None,
    *,
    as_json: bool,
    is_loss_accepted: bool = False,
) -> int:
    """Make the topics that are missing, and print what is there."""
    made = await topics.create(
        config,
        partitions=partitions,
        replication=replication,
        is_loss_accepted=is_loss_accepted,
    )
    if as_json:
        there = (
            TopicData(name=each.name, created=each.is_new, partitions=each.partitions)
            for each in made.topics
        )
        output.document(TopicsData(topics=tuple(there), problems=made.problems))
        return OK
    for each in made.topics:
        what = "created" if each.is_new else "exists already, left as it is"
        output.say(f"{each.name}: {what}, {counted(each.partitions, 'partition')}")
    for problem in made.problems:
        output.say(problem)
    return OK
