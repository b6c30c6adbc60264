"""Figures of a run, taken from the records' own times."""

from collections.abc import Sequence

from tests.system import Event, System


async def waits(system: System, events: Sequence[Event]) -> dict[str, float]:
    """Return the seconds from each started command's record to its start's event."""
    sent: dict[str, int] = {
        record.key.decode(): record.timestamp
        for record in await system.read(system.config.topics.commands)
    }
    return {
        event.key: (event.at - sent[event.key]) / 1000
        for event in events
        if event.kind == "delivery.started" and event.key is not None
    }
