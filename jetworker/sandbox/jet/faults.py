"""Faults: what goes wrong with which requests, how often."""

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from jetworker.sandbox.jet.bodies import (
    NUMBER,
    POSITIVE,
    TEXT,
    Json,
    Rule,
    check,
    is_number,
    is_text,
    is_whole,
    one_of,
    or_none,
    required,
)

OPERATIONS = (
    "token",
    "list_profiles",
    "search_profiles",
    "list_jobs",
    "search_jobs",
    "get_job",
    "create_job",
    "set_paused",
    "delete_job",
    "start_delivery",
    "get_delivery",
    "list_transfers",
    "get_transfer",
    "list_files",
    "list_subscriptions",
    "subscribe",
    "unsubscribe",
    "*",
)
KINDS = (
    "status",
    "lost_before",
    "lost_after",
    "late_apply",
    "delay",
    "garbage",
    "truncate",
    "huge",
    "unknown_state",
    "expire_tokens",
)
_STATUS: Rule = (
    lambda v: is_whole(v) and 200 <= v <= 599,  # noqa: PLR2004 -- HTTP, final answers
    "a whole number from 200 to 599",
)
_HEADER: Rule = (
    lambda v: is_text(v) and v.isascii() and v.isprintable(),
    "a text that fits into a header",
)
_SHARE: Rule = (lambda v: is_number(v) and v <= 1, "a number from 0 to 1")
_RULES: Mapping[str, Rule] = {
    "operation": one_of(OPERATIONS),
    "kind": one_of(KINDS),
    "status": _STATUS,
    "retry_after": or_none(_HEADER),
    "seconds": NUMBER,
    "times": or_none(POSITIVE),
    "probability": _SHARE,
    "job": or_none(TEXT),
}


@dataclass(slots=True)
class Fault:
    """
    One thing that goes wrong.

    *times* None is for ever. *seconds* is how long `delay` waits, or how much later
    `late_apply` applies what was never answered.
    """

    operation: str
    kind: str
    status: int = 503
    retry_after: str | None = None
    seconds: float = 1.0
    times: int | None = 1
    probability: float = 1.0
    job: str | None = None


@dataclass(slots=True)
class Faults:
    """The faults that are set, and the luck that decides whether they strike."""

    luck: random.Random
    active: list[Fault] = field(default_factory=list)

    def add(self, fields: Mapping[str, Any]) -> Fault:
        """Set a fault; refuses what is unknown."""
        check(fields, _RULES)
        required(fields, "operation", _RULES["operation"])
        required(fields, "kind", _RULES["kind"])
        fault = Fault(**fields)
        self.active.append(fault)
        return fault

    def strike(self, operation: str, job: str | None) -> Fault | None:
        """Return the fault that strikes this request, and use it up."""
        for fault in self.active:
            if fault.operation not in (operation, "*"):
                continue
            if fault.job not in (None, job):
                continue
            if self.luck.random() >= fault.probability:
                continue
            if fault.times is not None:
                fault.times -= 1
                if fault.times <= 0:
                    self.active.remove(fault)
            return fault
        return None

    def encode(self) -> Json:
        """Return the faults that are set."""
        return {"faults": [asdict(fault) for fault in self.active]}
