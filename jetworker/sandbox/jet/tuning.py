"""Changes of the tuning, as JSON."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from jetworker.sandbox.jet.bodies import (
    NUMBER,
    POSITIVE,
    TEXT,
    Json,
    Rule,
    check,
    one_of,
    or_none,
)
from jetworker.sandbox.jet.settings import Tuning, Visible

_RULES: Mapping[str, Rule] = {
    "bandwidth": or_none(POSITIVE),
    "batch_size": POSITIVE,
    "step_seconds": NUMBER,
    "growing_poll_seconds": NUMBER,
    "virtual_seconds": or_none(NUMBER),
    "virtual_failing": or_none(TEXT),
    "deliveries_visible": one_of(list(Visible)),
    "listing_lag_seconds": NUMBER,
}


def decode(fields: Mapping[str, Any], base: Tuning) -> Tuning:
    """Return *base* with these fields changed, or refuse them."""
    check(fields, _RULES)
    changes = dict(fields)
    if "deliveries_visible" in changes:
        changes["deliveries_visible"] = Visible(changes["deliveries_visible"])
    return replace(base, **changes)


def encode(tuning: Tuning) -> Json:
    """Return the tuning as JSON."""
    return asdict(tuning)
