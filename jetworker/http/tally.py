"""What a worker has counted since its start, read back from its own metrics."""

from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CollectorRegistry

from jetworker.wire import times


def since_start(registry: CollectorRegistry) -> dict[str, Any]:
    """Return the counters that an operator asks for first, with the token's end."""
    commands: dict[str, int] = {}
    finished: dict[str, dict[str, int]] = defaultdict(dict)
    events, expiry = 0, 0.0
    for metric in registry.collect():
        for sample in metric.samples:
            match sample.name.removeprefix("jetworker_"):
                case "commands_total":
                    commands[sample.labels["outcome"]] = int(sample.value)
                case "deliveries_finished_total":
                    route, outcome = sample.labels["route"], sample.labels["outcome"]
                    finished[route][outcome] = int(sample.value)
                case "events_published_total":
                    events += int(sample.value)
                case "token_expiry_timestamp_seconds":
                    expiry = sample.value
                case _:
                    pass
    return {
        "commands": commands,
        "finished": dict(finished),
        "events": events,
        "tokenExpiresAt": times.encode(datetime.fromtimestamp(expiry, UTC))
        if expiry
        else None,
    }
