"""`python -m tests.simulation`: run seeds, say what was checked, replay one."""

import argparse
import logging
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from tests.simulation.scenario import Run, Simulation, simulation

_SHARE = 250


@dataclass
class Account:
    """What some seeds showed; *wrong* is what the first bad one did, and its number."""

    checked: Counter[str] = field(default_factory=Counter)
    happened: Counter[str] = field(default_factory=Counter)
    wrong: tuple[int, list[str]] | None = None

    def add(self, other: "Account") -> None:
        """Add what other seeds showed."""
        self.checked.update(other.checked)
        self.happened.update(other.happened)
        self.wrong = self.wrong or other.wrong

    @property
    def is_vacuous(self) -> bool:
        """Whether something never happened, or was never checked."""
        return not all((*self.happened.values(), *self.checked.values()))


def main() -> int:
    """Run the seeds that were asked for; 1 if any shows something wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seeds", type=int, default=1000, help="how many (1000)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (1)")
    parser.add_argument("--seed", type=int, help="replay one and print its trace")
    options = parser.parse_args()
    if options.seed is not None:
        return _replay(options.seed)
    seeds = range(options.first, options.first + options.seeds)
    began = time.monotonic()
    return _tell(_run_all(seeds, options.jobs), len(seeds), began)


def _replay(seed: int) -> int:
    run = next(_runs(range(seed, seed + 1)))
    sys.stdout.write("\n".join([*run.trace, *run.wrong]) + "\n")
    return 1 if run.wrong else 0


def _runs(seeds: range) -> Iterator[Run]:
    silent = structlog.make_filtering_bound_logger(logging.CRITICAL)
    structlog.configure(wrapper_class=silent)
    with simulation() as folder:
        simulated = Simulation(Path(folder))
        for seed in seeds:
            yield simulated.run(seed)


def _run_share(seeds: range) -> Account:
    account = Account()
    for run in _runs(seeds):
        account.checked.update(run.judgement.checked)
        account.happened.update(run.happened)
        if run.wrong:
            account.wrong = run.seed, run.wrong
            break
    return account


def _run_all(seeds: range, jobs: int) -> Account:
    shares = [seeds[n : n + _SHARE] for n in range(0, len(seeds), _SHARE)]
    if jobs == 1:
        return _sum(map(_run_share, shares))
    with ProcessPoolExecutor(jobs) as pool:
        account = _sum(pool.map(_run_share, shares))
        pool.shutdown(wait=False, cancel_futures=True)
    return account


def _sum(shares: Iterable[Account]) -> Account:
    account = Account()
    for share in shares:
        account.add(share)
        if account.wrong:
            break
    return account


def _tell(account: Account, number: int, began: float) -> int:
    if account.wrong:
        seed, wrong = account.wrong
        replay = f"python -m tests.simulation --seed {seed}"
        wrong = [*wrong, f"seed {seed} went wrong; to replay it: {replay}"]
        sys.stdout.write("\n".join(wrong) + "\n")
        return 1
    for what, count in account.happened.items():
        sys.stdout.write(f"{count:>9} {what}\n")
    for what, count in sorted(account.checked.items()):
        sys.stdout.write(f"{count:>9} checked, 0 wrong: {what}\n")
    sys.stdout.write(f"{number} seeds in {time.monotonic() - began:.0f} s\n")
    if account.is_vacuous:
        sys.stdout.write("something was never seen: this shows nothing of it\n")
    return 1 if account.is_vacuous else 0


if __name__ == "__main__":
    sys.exit(main())
