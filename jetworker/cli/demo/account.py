"""The demo's account: computed from the topics and the ledger, not from intentions."""

import filecmp
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from jetworker.cli.audit import history
from jetworker.cli.demo.script import Script
from jetworker.config.model import Config
from jetworker.core.audit import EventRow, judge
from jetworker.sandbox.jet.server import Sandbox
from jetworker.wire.events import ReadEvent

_ENDS = {
    "delivery.completed": "completed",
    "delivery.failed": "failed",
    "delivery.cancelled": "cancelled",
}


@dataclass(frozen=True, slots=True)
class Account:
    """What became of every command."""

    commands: int
    outcomes: dict[str, int]
    lost: int
    doubled: int
    wrong: int
    answers: dict[str, int]
    dead_letters: int
    checks: int
    violations: int
    bytes: int
    takeover: float
    expected: tuple[int, int]

    @property
    def adds_up(self) -> bool:
        """Whether every command ended once, as it should, and nothing twice."""
        rejected, duplicates = self.expected
        told = self.answers.get("rejected"), self.answers.get("duplicate")
        clean = not (self.lost or self.doubled or self.wrong or self.violations)
        parked = self.dead_letters == rejected
        return clean and parked and self.checks > 0 and told == (rejected, duplicates)

    def lines(self) -> Iterator[tuple[str, str]]:
        """Yield the account line by line."""
        yield "commands", str(self.commands)
        for outcome, number in sorted(self.outcomes.items()):
            yield f"ended {outcome}", str(number)
        yield "lost", str(self.lost)
        yield "doubled", str(self.doubled)
        yield "ended otherwise than meant", str(self.wrong)
        for answer, number in sorted(self.answers.items()):
            yield f"answered {answer}", str(number)
        yield "dead letters", str(self.dead_letters)
        yield "guarantees checked", str(self.checks)
        yield "guarantees violated", str(self.violations)
        yield "bytes", f"{self.bytes:,}"
        yield "takeover", f"{self.takeover:.1f} s"


async def account(
    config: Config,
    sandbox: Sandbox,
    script: Script,
    events: list[ReadEvent],
    takeover: float,
) -> Account:
    """Add everything up."""
    kept = await history(config)
    verdict = judge(kept)
    ends = [event for event in kept.events if event.kind in _ENDS and event.command_id]
    ended = Counter(event.command_id for event in ends)
    made = Counter((c.job, tuple(c.objects)) for c in sandbox.ledger.creations)
    return Account(
        commands=len(script.commands),
        outcomes=dict(Counter(_ENDS[event.kind] for event in ends)),
        lost=len(script.commands) - len(ended),
        doubled=sum(n - 1 for n in (*made.values(), *ended.values())),
        wrong=sum(_is_wrong(event, script) for event in ends),
        answers=_answers(events),
        dead_letters=len(kept.dead_letters),
        checks=sum(verdict.checked.values()),
        violations=len(verdict.violations),
        bytes=sum(_moved(event) for event in ends),
        takeover=takeover,
        expected=(script.rejected, script.duplicates),
    )


def _is_wrong(event: EventRow, script: Script) -> bool:
    """Whether it ended otherwise than the script meant."""
    return (event.kind == "delivery.failed") != (event.command_id in script.failing)


def _moved(event: EventRow) -> int:
    progress = event.data.get("progress") or {}
    return int(progress.get("transferred", {}).get("bytes", 0))


def _answers(events: list[ReadEvent]) -> dict[str, int]:
    kinds = [event.kind for event in events if event.kind.startswith("command.")]
    return dict(Counter(kind.removeprefix("command.") for kind in kinds))


def compare(script: Script) -> list[str]:
    """Return the files that are not the same at the destination, byte for byte."""
    differing: list[str] = []
    for path in script.sent:
        source, copy = script.source / path[1:], script.destination / path[1:]
        if not copy.is_file() or not filecmp.cmp(source, copy, shallow=False):
            differing.append(path)
    return differing
