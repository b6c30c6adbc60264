"""
A fast model of one job: lost starts, strangers and every kind of listing, decided by the
product's own rules (`core.witness`, `core.evidence`, `core.reconcile`).

`python -m tests.model.evidence --seeds 1000`. One seed is one job with two workers, some
known deliveries before, and some dozens of starts, a quarter of them lost. Nothing of
the shell runs here (`tests.simulation` does that): so that many more starts are decided.

Verdicts are on decisions: a start made again while its post was applied is wrong, also
if the second is lost as well; so is the adoption of other contents.
"""

import argparse
import heapq
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from typing import Any

from jetworker.core.command import CommandId, DeliveryId, ObjectSpec
from jetworker.core.evidence import Asked, Learned, Lesson, Shown, learn
from jetworker.core.post import Post, Window, contents_of, sample_of
from jetworker.core.reconcile import (
    Adopt,
    Candidate,
    JobFacts,
    StartAgain,
    contradicts_exclusive,
    decide,
    hashes,
    scene,
)
from jetworker.core.witness import KnownDelivery, Look, Row, extended, survey

EPOCH = datetime(2027, 1, 15, 8, 0, tzinfo=UTC)
SETTLE, WAY, HELD_AFTER = 20.0, 35.0, 50.0
NUMBERS = (1, 2, 5, 10, 25, 60, 100)
KINDS = ("all", "newest", "oldest", "by id", "by activity", "active", "ended", "begun")
FILES = ("plain", "late", "absent", "the first", "other names", "no folders")
LOST, APPLIED, STRANGE = 0.25, 0.5, 0.3


def at(seconds: float) -> datetime:
    """Return a time of Jet's clock."""
    return EPOCH + timedelta(seconds=seconds)


@dataclass(eq=False)
class Made:
    """A delivery at Jet; *paths* are its contents, *owner* whose post made it."""

    number: int
    created: float
    seconds: float
    paths: tuple[str, ...]
    size: int
    shown_at: float
    owner: "Command | None" = None
    attempt: int = 0
    failed: bool = False
    queued: float = 0.5

    @property
    def delivery_id(self) -> DeliveryId:
        return DeliveryId(f"{(self.number * 7919) % 100_003:05}-{self.number}")

    def ended(self, now: float) -> bool:
        return now >= self.created + self.seconds

    def state(self, now: float) -> str:
        if now < self.created + min(self.queued, self.seconds):
            return "QUEUED"
        if not self.ended(now):
            return "IN_PROGRESS"
        return "FAILED" if self.failed else "COMPLETED"


@dataclass(eq=False)
class Command:
    """A command, its unknown post if there is one, and the ghosts it left."""

    command_id: CommandId
    worker: int
    objects: tuple[ObjectSpec, ...]
    attempt: int = 0
    post: Post | None = None
    ghosts: list[Post] = field(default_factory=list)
    began: float = 0.0
    row: Row = field(default_factory=Row)
    is_held: bool = False
    bound: Made | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(each.relative_path for each in self.objects)


class Job:
    """One seed."""

    def __init__(self, seed: int, fixed: Mapping[str, Any]) -> None:
        """Draw a job from *seed*; what is *fixed* of it is not drawn."""
        self.luck = luck = Random(seed)
        self.happened: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.now = -4000.0
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._ticket = count()
        self._ids = count(1)
        self.made: list[Made] = []
        self.commands: list[Command] = []
        self.known: dict[DeliveryId, Command] = {}
        self.waiting: dict[int, list[Command]] = {0: [], 1: []}
        self.named: dict[DeliveryId, datetime] = {}
        self.last: dict[DeliveryId, Shown] = {}
        self.gap: DeliveryId | None = None
        self.refuted: set[str] = set()
        self.misled: set[Command | None] = set()
        self.listing = luck.choice(KINDS)
        self.limit = luck.choice((*NUMBERS, None, None))
        self.behind = luck.choice((0, 0, 0, 1, 10, 60, 300, 900))
        self.chance = luck.choice((0.0, 0.0, 0.0, 0.05, 0.3))
        self.replica = luck.choice((0, 0, 0, 30))
        self.files = luck.choice(FILES)
        self.is_constant = luck.random() < 0.3
        self.noise = luck.choice((0.0, 0.0, 1.0))
        stated = luck.choice(("", "", "", "exclusive", "complete"))
        self.exclusive, self.complete = stated == "exclusive", stated == "complete"
        self.kind = stated or "shared"
        if self.complete:
            self.listing, self.limit, self.behind = "all", None, 0
            self.chance, self.replica = 0.0, 0
        self.has_strangers = not self.exclusive and luck.random() < 0.6
        self.pace = luck.choice((0.5, 2.0, 15.0))
        self.before = luck.choice((0, 3, 45, 45))
        self.lengths: Sequence[float] = (0.5, 3.0, 30.0)
        self.queued, self.failing = 0.5, 0.1
        for name, value in fixed.items():
            setattr(self, name, value)

    def later(self, seconds: float, what: Callable[[], object]) -> None:
        heapq.heappush(self._due, (self.now + seconds, next(self._ticket), what))

    def run(self) -> None:
        """Live through some known ones, a storm, and a calm."""
        for number in range(self.before):
            self.later(number * 60.0, lambda: self._bind(self._new(0)))
        begin = 4000.0
        for _ in range(self.luck.randint(10, 40)):
            begin += self.luck.expovariate(1 / self.pace)
            self.later(begin, lambda: self._publish(self._new(self.luck.randrange(2))))
        for _ in range(40_000):
            if not self._due or self.now > begin - 4000.0 + 300.0:
                break
            self.now, _, what = heapq.heappop(self._due)
            what()

    def _new(self, worker: int) -> Command:
        number = len(self.commands)
        luck = self.luck
        paths = [f"/show{number}/{n}.mov" for n in range(luck.randint(1, 3))]
        size = 1000 if self.is_constant else 1000 + 7 * number
        objects = tuple(ObjectSpec(path, size) for path in paths)
        if number and luck.random() < 0.05:
            objects = luck.choice(self.commands).objects
        made = Command(CommandId(f"c{number}"), worker, objects)
        self.commands.append(made)
        return made

    def _make(self, command: Command | None, paths: tuple[str, ...], size: int) -> Made:
        luck = self.luck
        made = Made(
            next(self._ids),
            self.now,
            luck.choice(self.lengths),
            paths,
            size,
            self.now + luck.choice((0.0, 0.0, 3.0)),
            command,
            command.attempt if command else 0,
            failed=luck.random() < self.failing,
            queued=self.queued,
        )
        self.made.append(made)
        return made

    def _of(self, command: Command) -> Made:
        size = sum(each.size or 0 for each in command.objects)
        return self._make(command, command.paths, size)

    def _bind(self, command: Command, made: Made | None = None) -> None:
        command.bound = made or self._of(command)
        self.known[command.bound.delivery_id] = command
        command.post = None

    def _publish(self, command: Command) -> None:
        self.waiting[command.worker].append(command)
        self._go(command.worker)

    def _go(self, worker: int) -> None:
        """Start what waits, unless a window would overlap an unknown one (R5.1)."""
        queue = self.waiting[worker]
        if not queue:
            return
        lo = at(self._heard() - 3.0)
        unknown = [
            post
            for each in self.commands
            if each.worker == worker and not each.is_held
            for post in ([each.post] if each.post else [])
        ]
        if any(lo <= post.window.hi for post in unknown):
            self.later(1.0, lambda: self._go(worker))
            return
        self._start(queue.pop(0))
        if queue:
            self.later(0.3, lambda: self._go(worker))

    def _heard(self) -> float:
        """Return a Date header: cut, and heard some time ago."""
        return float(int(self.now))

    def _start(self, command: Command) -> None:
        command.attempt += 1
        command.began = 0.0
        window = Window(at(self._heard() - 3.0), at(self._heard() + WAY + 2.0))
        paths = frozenset(command.paths)
        contents = contents_of(command.objects)
        command.post = Post(
            command.command_id, command.attempt, window, contents, paths
        )
        if self.luck.random() >= LOST:
            self.later(0.05, lambda: self._answered(command))
            return
        self.happened["unknown"] += 1
        self.happened[f"unknown, {self.kind}"] += 1
        if self.luck.random() < APPLIED:
            self.later(self.luck.choice((0.1, 5.0, 15.0)), lambda: self._of(command))
        if self.has_strangers and self.luck.random() < STRANGE:
            self.later(self.luck.uniform(0.0, 10.0), lambda: self._visit(command))
        self.later(0.3, lambda: self._doubt(command))

    def _answered(self, command: Command) -> None:
        self._bind(command)
        if any(each.post and each.began for each in self.commands):
            self._look()
            self.later(1.0, self._look)

    def _visit(self, command: Command) -> None:
        """Let somebody else start something at the worst moment."""
        name, size = command.paths[0], command.objects[0].size or 0
        queued = self._make(
            None,
            *self.luck.choice(
                (
                    (("/else/x.mov",), 5),
                    (tuple(f"/else/{n}" for n in range(500)), 500),
                    ((f"/other{name}",), size),
                    ((*command.paths, "/else/more.mov"), size * 4),
                    (("/else/as-large.mov",) * 1, size),
                )
            ),
        )
        queued.queued = queued.seconds = self.luck.choice((1.0, 10.0, 900.0))

    def _doubt(self, command: Command) -> None:
        assert command.post is not None
        hi = min(command.post.window.hi, at(self._heard() + SETTLE + 3.0))
        window = replace(command.post.window, hi=hi)
        command.post = replace(command.post, window=window)
        command.began, command.row, command.is_held = self.now, Row(), False
        self._again(command)

    def _again(self, command: Command) -> None:
        """Look every fifth of settle, and every minute at a held one."""
        if command.post is None:
            return
        self._look()
        if not self._is_unknown(command):
            return
        if not command.is_held and self.now - command.began >= HELD_AFTER:
            command.is_held = True
            self.happened["held"] += 1
            self.happened[f"held, {self.kind}"] += 1
            self.later(self.luck.uniform(1.0, 300.0), lambda: self._order(command))
        self.later(60.0 if command.is_held else 4.0, lambda: self._again(command))

    def _is_unknown(self, command: Command) -> bool:
        return command.post is not None

    def _order(self, command: Command) -> None:
        """Let an operator be wise, rash, or wrong."""
        if command.post is None or not command.is_held:
            return
        ours = [x for x in self.made if x.owner is command and x is not command.bound]
        free = [x for x in self.made if x.delivery_id not in self.known]
        what = self.luck.choice(("wise", "wise", "resend", "abandon", "wrong"))
        self.happened[f"ordered: {what}"] += 1
        post = command.post
        if what == "wise" and ours:
            self._adopt(command, ours[0])
            return
        if what == "wrong" and free:
            chosen = self.luck.choice(free)
            if chosen.owner is not command:
                self.misled |= {command, chosen.owner}
            self._adopt(command, chosen)
            return
        command.ghosts.append(self._ghost(post))
        command.post = None
        if what != "abandon":
            self.waiting[command.worker].insert(0, command)
            self._go(command.worker)

    def _adopt(self, command: Command, made: Made) -> None:
        """Bind it; the posts stay behind, but the only one that can have made it."""
        assert command.post is not None
        left = [*command.ghosts, self._ghost(command.post)]
        can = [x for x in left if x.window.contains(self._date(made))]
        command.ghosts = [x for x in left if len(can) != 1 or x is not can[0]]
        self._bind(command, made)

    def _ghost(self, post: Post) -> Post:
        return replace(post, paths=frozenset(), is_ghost=True)

    def _date(self, made: Made) -> datetime:
        """Jet's createdOn: may be cut to the second, and be wrong by as much."""
        return at(float(int(made.created)) if self.noise else made.created)

    def _listed(self) -> list[Made]:
        shown = [x for x in self.made if x.shown_at <= self.now]
        if self.replica and self.luck.random() < 0.5:
            shown = [x for x in shown if x.created <= self.now - self.replica]
        shown = [x for x in shown if x.created <= self.now - self.behind]
        match self.listing:
            case "active":
                shown = [x for x in shown if not x.ended(self.now)]
            case "ended":
                shown = [x for x in shown if x.ended(self.now)]
            case "begun":
                shown = [x for x in shown if x.state(self.now) != "QUEUED"]
            case "not failed":
                shown = [x for x in shown if x.state(self.now) != "FAILED"]
            case "moving":
                moves = [x for x in shown if x.ended(self.now)]
                gone = {x for x in moves if self.now < x.created + 2 * SETTLE}
                shown = [x for x in shown if x not in gone]
            case "by id":
                shown.sort(key=lambda x: x.delivery_id)
            case "by activity":
                shown.sort(key=lambda x: min(self.now, x.created + x.seconds))
            case _:
                pass
        shown = [x for x in shown if self.luck.random() >= self.chance]
        if self.limit is None:
            return shown
        if self.listing in {"oldest", "by id"}:
            return shown[: self.limit]
        return shown[-self.limit :]

    def _shown(self, made: Made) -> Shown:
        is_over = made.ended(self.now)
        part = 1.0 if is_over else 0.0
        urls: tuple[str, ...] = ()
        begun = made.state(self.now) != "QUEUED"
        if begun and not (self.files == "late" and not is_over):
            match self.files:
                case "plain" | "late":
                    urls = made.paths
                case "the first":
                    urls = made.paths[:1]
                case "no folders":
                    urls = tuple(f"/{x.rpartition('/')[2]}" for x in made.paths)
                case "other names":
                    urls = tuple(
                        f"/{made.number}/{n}" for n, _ in enumerate(made.paths)
                    )
                case _:
                    pass
        if made.failed and len(urls) > 1:
            urls = urls[:1]
        return Shown(
            made.delivery_id,
            made.state(self.now),
            self._date(made),
            at(min(self.now, made.created + made.seconds)),
            int(len(made.paths) * part),
            int(made.size * part),
            int(made.failed and is_over),
            frozenset(f"file:///store{url}" for url in urls),
        )

    def _known(self) -> dict[DeliveryId, KnownDelivery]:
        return {
            each: KnownDelivery(
                each,
                Window(self._date(of.bound), self._date(of.bound)),
                Asked(
                    len(of.objects),
                    sum(x.size or 0 for x in of.objects),
                    sample_of(of.objects),
                    repr(of.objects).encode(),
                ),
                at(of.bound.created + of.bound.seconds)
                if of.bound.ended(self.now)
                else None,
                is_whole=of.bound.state(self.now) == "COMPLETED",
            )
            for each, of in self.known.items()
            if of.bound is not None
        }

    def _look(self) -> None:
        """Make one look, and decide every case by it."""
        cases = [x for x in self.commands if x.post is not None and x.began]
        if not cases:
            return
        listed = self._listed()
        by_id = {x.delivery_id: x for x in self.made}
        ids = frozenset(x.delivery_id for x in listed)
        hinted = frozenset(
            x.delivery_id
            for x in self.made
            if x.state(self.now) == "IN_PROGRESS" and self.luck.random() < 0.5
        )
        ended = at(self._heard() + 1.0)
        for each in (ids | hinted) - self.known.keys():
            self.named.setdefault(each, ended)
        for each in self.named.keys() & self.known.keys():
            del self.named[each]
        known = self._known()
        newest = sorted(listed, key=lambda x: x.created)
        asked = {x.delivery_id for x in (*newest[-3:], *newest[:1])} | self.named.keys()
        shown = {each: self._shown(by_id[each]) for each in asked}
        look = Look(at(self._heard()), ended, ids, shown)
        seen = survey(look, known, timedelta(seconds=SETTLE))
        if seen.gap is not None:
            self.gap = seen.gap
        if seen.unstated is not None:
            self.refuted.add("complete")
        facts = JobFacts(
            learned=self._learn(known, by_id) if self.named else Learned(),
            is_exclusive=self.exclusive and "exclusive" not in self.refuted,
            is_complete=self.complete and "complete" not in self.refuted,
            sizes=frozenset((x.asked.count, x.asked.size) for x in known.values()),
        )
        posts = [
            post
            for each in self.commands
            for post in (*each.ghosts, *([each.post] if each.post else ()))
        ]
        candidates = [
            Candidate(x, shown[x], self.named[x], hashes(shown[x], facts.learned.forms))
            for x in self.named
        ]
        on_it = scene(posts, candidates, facts)
        if self.exclusive and any(
            case.post and contradicts_exclusive(case.post, on_it) for case in cases
        ):
            self.refuted.add("exclusive")
            on_it = replace(on_it, job=replace(facts, is_exclusive=False))
        for case in cases:
            assert case.post is not None
            is_settled = self.now - case.began >= SETTLE
            case.row = extended(
                case.row, seen, case.post.window, is_settled=is_settled, gap=self.gap
            )
            if is_settled:
                decision = decide(case.post, case.row, on_it)
                if isinstance(decision, Adopt) or (
                    isinstance(decision, StartAgain) and not case.is_held
                ):
                    self._carry_out(case, decision, by_id)
                    return  # the next look sees what came of it

    def _learn(
        self, known: dict[DeliveryId, KnownDelivery], by_id: dict[DeliveryId, Made]
    ) -> Learned:
        due = at(self.now - SETTLE)
        whole = [
            x
            for x in known.values()
            if x.is_whole and x.made_in and x.made_in.hi < due and x.ended_on
        ]
        whole = [x for x in whole if x.ended_on and x.ended_on < due][-40:]
        return learn(Lesson(x.asked, self._shown(by_id[x.delivery_id])) for x in whole)

    def _carry_out(
        self,
        command: Command,
        decision: Adopt | StartAgain,
        by_id: dict[DeliveryId, Made],
    ) -> None:
        if isinstance(decision, StartAgain):
            self.happened["started again"] += 1
            self.happened[f"settled, {self.kind}"] += 1
            ours = [
                x
                for x in self.made
                if x.owner is command and x.attempt == command.attempt
            ]
            # An operator who bound another's delivery is not the rules' mistake.
            if ours and command not in self.misled:
                self.wrong.append(f"double: {command.command_id} by {self._about()}")
            command.post = None
            self.waiting[command.worker].insert(0, command)
            self._go(command.worker)
            return
        self.happened[f"adopted by {decision.by}"] += 1
        self.happened[f"settled, {self.kind}"] += not command.is_held
        made = by_id[decision.delivery_id]
        is_other = made.owner is None or made.owner.objects != command.objects
        if is_other and made.owner not in self.misled - {None}:
            self.wrong.append(
                f"wrong adoption: {command.command_id} by {decision.by}, {self._about()}"
            )
        self._adopt(command, made)

    def _about(self) -> str:
        return (
            f"{self.kind} {self.listing} {self.limit} behind {self.behind}"
            f" chance {self.chance} replica {self.replica} files {self.files}"
        )


def main() -> int:
    """Run the seeds that were asked for; 1 if any shows something wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.model.evidence")
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--until-wrong", action="store_true")
    parser.add_argument("--fixed", type=json.loads, default={}, help="JSON, not drawn")
    options = parser.parse_args()
    happened: Counter[str] = Counter()
    number, began, starts = 0, time.process_time(), 0
    for seed in range(options.first, options.first + options.seeds):
        job = Job(seed, options.fixed)
        job.run()
        happened.update(job.happened)
        starts += sum(each.attempt for each in job.commands)
        for each in job.wrong:
            number += 1
            sys.stdout.write(f"seed {seed}: {each}\n")
        if job.wrong and options.until_wrong:
            return 1
    for what, times in sorted(happened.items()):
        sys.stdout.write(f"{times:>9} {what}\n")
    took = time.process_time() - began
    sys.stdout.write(
        f"{options.seeds} seeds, {starts} starts, {number} wrong, {took:.0f} s\n"
    )
    if happened["started again"] * 50 < happened["unknown"]:
        sys.stdout.write("hardly anything was started again: this shows nothing\n")
        return 1
    return 1 if number else 0


if __name__ == "__main__":
    sys.exit(main())
