"""
Twelve bugs to plant, each a small change of the worker's own source, and what it is.

A change is made to a copy of the package. It must apply exactly once: a bug that no
longer fits the source is an error, not a pass.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import jetworker


@dataclass(frozen=True)
class Bug:
    """In *module*, *right* becomes *wrong*."""

    name: str
    module: str
    right: str
    wrong: str

    def plant(self, folder: Path) -> None:
        """Copy the package into *folder*, with this bug."""
        assert jetworker.__file__ is not None
        copy = folder / "jetworker"
        shutil.copytree(Path(jetworker.__file__).parent, copy)
        module = copy / self.module
        source = module.read_text()
        assert source.count(self.right) == 1, f"{self.name}: {self.module} has changed"
        module.write_text(source.replace(self.right, self.wrong))


PLANTED = (
    Bug(
        "record after POST",
        "lane.py",
        "await entry.apply(self._begun(route, job_id))\n",
        "entry.tell(self._begun(route, job_id))\n",
    ),
    Bug(
        "no settle",
        "lookup.py",
        "await case.wait(self._settle)\n",
        "await case.wait(0.001)\n",
    ),
    Bug(
        "blind retry on 502",
        "core/refusal.py",
        "if status == 401:",
        "if status in {401, 502}:",
    ),
    Bug(
        "event outside the transaction",
        "store.py",
        "                positions = await self._transact(steps)\n",
        """\
                told = [r for s in steps for r in s.records if r.partition is None]
                kept = [r for s in steps for r in s.records if r.partition is not None]
                offsets = [s.offset for s in steps if s.offset is not None]
                if told:
                    await self._transact([Step(tuple(told))])
                positions = await self._transact(
                    [Step(tuple(kept), max(offsets, default=None))]
                )
""",
    ),
    Bug(
        "random transactional id",
        "store.py",
        '"{kafka.config.group_id}-{topic}-{partition}"',
        '"{kafka.config.group_id}-{topic}-{partition}-{clock.jitter()}"',
    ),
    Bug(
        "offsets read before the fence",
        "worker.py",
        """\
        async with opened(self._kafka, partition, metrics, clock) as store:
            offset = await committed_offset(self._consumer, commands)
""",
        """\
        offset = await committed_offset(self._consumer, commands)
        async with opened(self._kafka, partition, metrics, clock) as store:
""",
    ),
    Bug(
        "producer re-opened without restore",
        "store.py",
        "                await self._commit([step for step, _ in taken])\n",
        """\
                try:
                    await self._commit([step for step, _ in taken])
                except Fenced:
                    raise
                except StoreError:
                    await self._producer.start()
""",
    ),
    Bug(
        "absence believed without a witness",
        "core/settle.py",
        '    return LookAgain("nothing in the job document shows whether it was started")\n',
        "    return StartAgain()\n",
    ),
    Bug(
        "redirect followed",
        "connection.py",
        "follow_redirects=False",
        "follow_redirects=True",
    ),
    Bug(
        "sequence gap",
        "life.py",
        "for event in step.events)\n",
        "for event in step.events[-1:])\n",
    ),
    Bug(
        "terminal on the transfers instead of the delivery",
        "core/progress.py",
        "    if not is_final_in_jet(seen.delivery.state):\n",
        """\
    over = known.transfers and all(t.is_final for t in known.transfers)
    if over:
        seen = replace(seen, delivery=replace(seen.delivery, state="COMPLETED"))
    if not is_final_in_jet(seen.delivery.state):
""",
    ),
    Bug(
        "dedupe forgotten at restore",
        "life.py",
        "                self.memory.add(snapshot)\n",
        "                pass\n",
    ),
)

# What this simulation found in the worker, planted again; and one more of the kind.
FOUND = (
    Bug(
        "restore not up to a barrier",
        "restore.py",
        "                if record.offset >= barrier:\n",
        "                if record.offset >= barrier - 5:\n",
    ),
    Bug(
        "a revocation swallowed by a life that fails",
        "worker.py",
        "while self._tasks.get(partition) is asyncio.current_task():",
        "while True:",
    ),
    Bug(
        "a grown file held against its own delivery",
        "core/settle.py",
        "    if is_proven(candidate.evidence, ours):\n        return not any(",
        """\
    if is_too_much(candidate.evidence, ours):
        return False
    if is_proven(candidate.evidence, ours):
        return not any(""",
    ),
)
