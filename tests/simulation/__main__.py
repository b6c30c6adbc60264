"""`python -m tests.simulation`: run seeds, say what was checked, replay one."""

import argparse
import gc
import logging
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from tests.simulation.scenario import Run, Simulation, simulation

_SHARE = 250
_COLLECT_EVERY = 50  # seeds: what they leave behind is a few megabytes


@dataclass
class Account:
    """What some seeds showed; *wrong* is what each bad one did, by its number."""

    checked: Counter[str] = field(default_factory=Counter)
    happened: Counter[str] = field(default_factory=Counter)
    unknown: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    wrong: dict[int, list[str]] = field(default_factory=dict)

    def add(self, other: "Account") -> None:
        """Add what other seeds showed."""
        self.checked.update(other.checked)
        self.happened.update(other.happened)
        self.unknown.update(other.unknown)
        self.wrong |= other.wrong

    @property
    def is_vacuous(self) -> bool:
        """
        Whether something never happened, or was never checked.

        A worker that never starts anything again makes no double either.
        """
        unknown = self.happened["starts unknown"]
        if self.happened["of these started again"] * 50 < unknown:
            return True
        return not all((*self.happened.values(), *self.checked.values()))


def main() -> int:
    """Run the seeds that were asked for; 1 if any shows something wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seeds", type=int, default=1000, help="how many (1000)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (1)")
    parser.add_argument("--all", action="store_true", help="go on after a wrong seed")
    parser.add_argument("--until", default="", help="stop at a seed with this wrong")
    parser.add_argument("--seed", type=int, help="replay one and print its trace")
    options = parser.parse_args()
    if options.seed is not None:
        return _replay(options.seed)
    seeds = range(options.first, options.first + options.seeds)
    began = time.monotonic()
    shares = [
        Share(seeds[n : n + _SHARE], options.until, is_to_go_on=options.all)
        for n in range(0, len(seeds), _SHARE)
    ]
    return _tell(_run_all(shares, options.jobs), len(seeds), began)


def _replay(seed: int) -> int:
    run = next(_runs(range(seed, seed + 1)))
    sys.stdout.write("\n".join([*run.trace, *run.wrong]) + "\n")
    return 1 if run.wrong else 0


def _runs(seeds: range) -> Iterator[Run]:
    silent = structlog.make_filtering_bound_logger(logging.CRITICAL)
    structlog.configure(wrapper_class=silent)
    with simulation() as folder:
        simulated = Simulation(Path(folder))
        # The collector looks at all that is imported again and again: a quarter of a run.
        gc.disable()
        gc.freeze()
        for number, seed in enumerate(seeds, start=1):
            yield simulated.run(seed)
            if number % _COLLECT_EVERY == 0:
                gc.collect()


@dataclass(frozen=True)
class Share:
    """Seeds for one process; it stops at a wrong one that begins with *until*."""

    seeds: range
    until: str
    is_to_go_on: bool

    def is_enough(self, wrong: Iterable[str]) -> bool:
        """Whether these wrongs end it."""
        found = any(each.startswith(self.until) for each in wrong)
        return found and not self.is_to_go_on


def _run_share(share: Share) -> Account:
    account = Account()
    with _warnings() as warned:
        for run in _runs(share.seeds):
            account.checked.update(run.judgement.checked)
            account.happened.update(run.happened)
            account.unknown.update(run.unknown)
            wrong = [*run.wrong, *warned]
            warned.clear()
            if wrong:
                account.wrong[run.seed] = wrong
            if share.is_enough(wrong):
                break
    return account


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """
    Collect what Python warns of at run time: a coroutine that nobody awaited.

    Of this seed, or of one since what was left behind was last collected.
    """
    told: list[str] = []

    def tell(message: Warning | str, *_: object, **__: object) -> None:
        told.append(f"Python warns: {message}")

    with warnings.catch_warnings():
        warnings.simplefilter("always", RuntimeWarning)
        warnings.showwarning = tell
        yield told


def _run_all(shares: list[Share], jobs: int) -> Account:
    if jobs == 1:
        return _sum(shares, map(_run_share, shares))
    with ProcessPoolExecutor(jobs) as pool:
        return _sum(shares, pool.map(_run_share, shares))


def _sum(shares: list[Share], accounts: Iterable[Account]) -> Account:
    total = Account()
    for share, account in zip(shares, accounts, strict=False):
        total.add(account)
        if any(share.is_enough(wrong) for wrong in account.wrong.values()):
            break
    return total


def _tell(account: Account, number: int, began: float) -> int:
    for seed, wrong in account.wrong.items():
        replay = f"python -m tests.simulation --seed {seed}"
        lines = [*wrong, f"seed {seed} went wrong; to replay it: {replay}"]
        sys.stdout.write("\n".join(lines) + "\n")
    if account.wrong:
        return 1
    for what, count in account.happened.items():
        sys.stdout.write(f"{count:>9} {what}\n")
    _tell_unknown(account.unknown)
    for what, count in sorted(account.checked.items()):
        sys.stdout.write(f"{count:>9} checked, 0 wrong: {what}\n")
    sys.stdout.write(f"{number} seeds in {time.monotonic() - began:.0f} s\n")
    if account.is_vacuous:
        sys.stdout.write("something was never seen: this shows nothing of it\n")
    return 1 if account.is_vacuous else 0


def _tell_unknown(unknown: Counter[tuple[str, str, str]]) -> None:
    """Say how many were settled by themselves, by what is stated and what is listed."""
    groups: dict[str, Counter[str]] = {}
    for (statement, listing, how), count in sorted(unknown.items()):
        for group in (statement, f"{statement}, {listing}"):
            groups.setdefault(group, Counter())[how] += count
    for group, of in sorted(groups.items()):
        settled = of["adopted"] + of["started again"]
        sys.stdout.write(
            f"{settled:>9} of {of.total()} unknown starts settled by themselves,"
            f" {of['started again']} started again: {group}\n"
        )


if __name__ == "__main__":
    sys.exit(main())
