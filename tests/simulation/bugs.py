"""
Bugs to plant, each a small change of the worker's own source, and what shows it.

A change is made to a copy of the package. It must apply exactly once: a bug that no
longer fits the source is an error, not a pass. It is caught when it is caught for what
it is: by the invariant that it breaks, not because the copy falls over.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import jetworker


@dataclass(frozen=True)
class Bug:
    """
    In *module*, *right* becomes *wrong*; *shows* is the invariant that it breaks.

    *first* is the seed that showed it first: there the search begins. *also* are further
    changes of the module, where one rule alone is held up by another.
    """

    name: str
    shows: str
    module: str
    right: str
    wrong: str
    first: int = 0
    also: tuple[tuple[str, str], ...] = ()

    def plant(self, folder: Path) -> None:
        """Copy the package into *folder*, with this bug."""
        assert jetworker.__file__ is not None
        copy = folder / "jetworker"
        shutil.copytree(Path(jetworker.__file__).parent, copy)
        module = copy / self.module
        source = module.read_text()
        for right, wrong in ((self.right, self.wrong), *self.also):
            assert source.count(right) == 1, f"{self.name}: {self.module} has changed"
            source = source.replace(right, wrong)
        module.write_text(source)


PLANTED = (
    Bug(
        "what failed task groups leave behind is taken for our end",
        "no record is unanswered",
        "worker/partition.py",
        "            if not self._is_ours:\n                raise\n",
        "            raise\n",
        first=126,
        also=(("            _forget_cancellations()\n", ""),),
    ),
    Bug(
        "record after POST",
        "a start has a committed intent",
        "worker/starts/dispatcher.py",
        "await handle.apply(self._begun(route, job_id))\n",
        "handle.tell(self._begun(route, job_id))\n",
    ),
    Bug(
        "no settle",
        "at most one delivery",
        "worker/reconciliation/reconciler.py",
        "self._settle = settle.total_seconds()\n",
        "self._settle = 0.01\n",
        first=596,
    ),
    Bug(
        "blind retry on 502",
        "an intent is sent once",
        "core/start_answer.py",
        "if status == 401:",
        "if status in {401, 502}:",
        first=23,
    ),
    Bug(
        "event outside the transaction",
        "event and snapshot are one transaction",
        "kafka/state_store.py",
        "                positions = await self._transact(steps)\n",
        """\
                every = [record for step in steps for record in step.records]
                told = [r for r in every if r.topic != self._state.topic]
                kept = [r for r in every if r.topic == self._state.topic]
                offsets = [s.offset for s in steps if s.offset is not None]
                if told:
                    await self._transact([Write(tuple(told))])
                positions = await self._transact(
                    [Write(tuple(kept), max(offsets, default=None))]
                )
""",
    ),
    Bug(
        "random transactional id",
        "a state partition has one writer at a time",
        "kafka/state_store.py",
        'transactional_id = f"jetworker-{kafka.topics.state}-{partition}"',
        'transactional_id = f"jetworker-{kafka.topics.state}-{clock.jitter()}"',
    ),
    Bug(
        "offsets read before the fence",
        "the offset never goes back",
        "kafka/state_store.py",
        """\
        async with cls._opened(kafka, partition, metrics, clock) as store:
            reach(Point.FENCED)
            taken = await store._take(kafka, source, begun)""",
        """\
        from types import SimpleNamespace

        found = await source.found(partition)

        async def before(_partition):
            return found

        source = SimpleNamespace(found=before)
        positions.fold = lambda kept, key, value: Mark.UNOWNED
        async with cls._opened(kafka, partition, metrics, clock) as store:
            reach(Point.FENCED)
            taken = await store._take(kafka, source, begun)""",
    ),
    Bug(
        "producer re-opened without restore",
        "the offset passes what is reflected",
        "kafka/state_store.py",
        "                await self._commit([step for step, _ in taken])\n",
        """\
                try:
                    await self._commit([step for step, _ in taken])
                except Fenced:
                    raise
                except StoreError:
                    await self._producer.start()
""",
        first=20,
    ),
    Bug(
        "absence believed without proof",
        "a start is made again only where none was applied",
        "core/reconcile.py",
        "    if row.is_proven:  # R2\n",
        "    if row.looks or row.stated:  # R2\n",
        first=79,
    ),
    Bug(
        "redirect followed",
        "an intent is sent once",
        "jet/transport.py",
        "        response = await way.handle_async_request(request)\n",
        """\
        following = httpx.AsyncClient(transport=way, follow_redirects=True)
        response = await following.send(request, stream=True)
""",
        first=9,
    ),
    Bug(
        "sequence gap",
        "events are numbered 1, 2, 3 without gap or repeat",
        "worker/deliveries.py",
        "for event in step.events)\n",
        "for event in step.events[-1:])\n",
    ),
    Bug(
        "terminal on the transfers instead of the delivery",
        "the counts are Jet's",
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
        "at most one terminal event",
        "worker/deliveries.py",
        "            self.memory.add(snapshot)\n",
        "            pass\n",
        first=60,
    ),
)

# What this simulation found in the worker, planted again; and one more of the kind.
FOUND = (
    Bug(
        "restore not up to a barrier",
        "events are numbered 1, 2, 3 without gap or repeat",
        "kafka/state_store.py",
        "Barrier(barrier)",
        "Barrier(barrier - 5)",
    ),
    Bug(
        "a revocation swallowed by a life that fails",
        "no record is unanswered",
        "worker/partition.py",
        "while self._is_ours:",
        "while True:",
        first=164,
    ),
    Bug(
        "a start sent while Jet holds starts back",
        "what Jet holds back waits",
        "jet/transport.py",
        '            self._budget.check("start_delivery")\n',
        "",
        first=251,
    ),
    Bug(
        "a record's time taken at its word",
        "no code of ours fails",
        "wire/times.py",
        "    except (ValueError, OverflowError, OSError):\n",
        "    except KeyError:\n",
        first=9,
    ),
    Bug(
        "what was read is thrown away when a look at Kafka fails",
        "no record is unanswered",
        "worker/worker.py",
        "            batches = await self._group.poll(self._outgrow)\n",
        "            batches = await self._group.poll(self._outgrow)\n"
        "            await self._look()\n",
        first=6,
    ),
    Bug(
        "what was handed over before a growth is not waited for",
        "every record of the commands topic is answered once",
        "kafka/growth.py",
        "        if handed_before:\n",
        "        if handed_before and not layout.state:\n",
        first=990036,
    ),
    Bug(
        "a start in flight is told why its route waits",
        "no code of ours fails",
        "core/lifecycle.py",
        """\
        case state, Blocked() if not state.is_startable:
            return Transition(delivery)
        case State.ACCEPTED | State.WAITING | State.CLEARED, Blocked():
""",
        """\
        case (
            State.ACCEPTED | State.WAITING | State.CLEARED | State.STARTING,
            Blocked(),
        ):
""",
        first=211428,
    ),
    Bug(
        "a partition comes to life that is being given back",
        "no start is doubted without a reason",
        "worker/partition.py",
        "                if not self._is_ours:\n                    return\n",
        "",
        first=70580,
    ),
)

# Of other kinds, one for each part of the worker that keeps something from going wrong.
OTHERS = (
    Bug(
        "an intent found at restore believed not sent",
        "at most one delivery",
        "worker/deliveries.py",
        "unanswered.append(self.apply(delivery.command_id, Lost(message)))",
        """\
from jetworker.core.delivery import ReasonCode
                from jetworker.core.trigger import Blocked, Deferred

                unsent = Deferred(Blocked(ReasonCode.JET_UNAVAILABLE, message))
                unanswered.append(self.apply(delivery.command_id, unsent))""",
        first=3,
    ),
    Bug(
        "the lease is not checked",
        "no start is sent past its lease",
        "worker/deliveries.py",
        "if self.is_over or age > self.terms.lease.total_seconds():",
        "if age < 0:",
        first=107,
    ),
    Bug(
        "a drain that does not wait for the answers",
        "no start is doubted without a reason",
        "worker/deliveries.py",
        "                await self._sending.none()\n                await self._store",
        "                await self._store",
        first=40,
    ),
    Bug(
        "what is bound to another is a candidate",
        "a delivery is bound to one command, and to one only",
        "worker/reconciliation/bindings.py",
        "            self.known[known.delivery_id] = known\n",
        "            pass\n",
        first=1,
    ),
    Bug(
        "a tombstone written before the window is over",
        "a command again is known again",
        "worker/deliveries.py",
        "self.memory.expired(now, window)",
        "self.memory.expired(now, window * 0)",
        first=7,
    ),
    Bug(
        "a record that was not sent is not missed",
        "events are numbered 1, 2, 3 without gap or repeat",
        "kafka/state_store.py",
        "        if errors:\n            raise _cause(errors)\n",
        "        answers = [a for a in answers if a not in errors]\n",
        first=26,
    ),
    Bug(
        "expiry is not looked at",
        "what has expired is not sent",
        "core/delivery.py",
        "    return None if delivery.attempt else delivery.expires_at\n",
        "    return None\n",
        first=25,
    ),
)

# Of starts that are in flight at once.
AT_ONCE = (
    Bug(
        "two starts for a common path at once",
        "what is in flight together may be",
        "worker/job_locks.py",
        "return other.paths is not None and self.paths.isdisjoint(other.paths)",
        "return other.paths is not None",
        first=93,
    ),
    Bug(
        "more starts at once than may be",
        "what is in flight together may be",
        "worker/job_locks.py",
        "if len(job.sending) >= self._places(job, claim.at_once):",
        "if len(job.sending) > self._places(job, claim.at_once):",
        first=45,
        also=(
            (
                "return at_most <= self._places(job, claim.at_once)",
                "return at_most - 1 <= self._places(job, claim.at_once)",
            ),
        ),
    ),
)

# Of orders that wait behind an adopt.
ORDERS = (
    Bug(
        "what waits behind an adopt is forgotten",
        "every record of the commands topic is answered once",
        "core/orders.py",
        "    waiting = step.delivery.orders\n",
        "    waiting: tuple[WaitingOrder, ...] = ()\n",
    ),
    Bug(
        "an order is carried out while an adopt is pending",
        "every record of the commands topic is answered once",
        "core/admission.py",
        "    if isinstance(known, Delivery) and known.pending is not None:\n",
        "    if isinstance(known, Delivery) and len(known.orders) > 8:\n",
    ),
)

# Of the state topic: whose it is, where its input stands, and whether it is whole.
STATE = (
    Bug(
        "identity from the group",
        "a state partition has one writer at a time",
        "kafka/state_store.py",
        'f"jetworker-{kafka.topics.state}-{partition}"',
        'f"{kafka.config.group_id}-{kafka.topics.state}-{partition}"',
    ),
    Bug(
        "the offset only from the group",
        "the offset never goes back",
        "kafka/state_store.py",
        "match resume(kept, found,",
        "match resume(Mark.BEGINNING, found,",
    ),
    Bug(
        "a state without an owner accepted under a group with offsets",
        "what is lost is not begun anew",
        "kafka/ownership.py",
        "        gone = lost(kept, stands, self.kafka.config.group_id)\n",
        "        gone: dict[int, str] = {}\n",
        first=8,
    ),
    Bug(
        "an index without the old partitions",
        "at most one delivery",
        "kafka/growth.py",
        "        return Homes(layout.state, found)\n",
        "        return Homes(layout.state)\n",
        first=20,
    ),
    Bug(
        "partitions counted before they are begun",
        "no record is unanswered",
        "kafka/state_store.py",
        "_layout(kept, found.partitions, begun)",
        "_layout(kept, found.partitions, found.partitions)",
        first=84,
    ),
    Bug(
        "a life that is outgrown drops its answers",
        "no start is doubted without a reason",
        "worker/partition.py",
        "            await deliveries.drain(self._drain_timeout)\n            raise\n",
        "            raise\n",
        first=484,
    ),
)

# Of what is believed of a lost start: they need a job of which deliveries are known.
EVIDENCE = (
    Bug(
        "a list that may be full is believed",
        "a start is made again only where none was applied",
        "core/witness.py",
        "is_uncut=row.is_uncut or grown or is_newest_part,  # 2.7",
        "is_uncut=True,  # 2.7",
        first=446,
        also=(("gap=_not_older(gone, oldest),", "gap=None,"),),
    ),
    Bug(
        "a statement is believed whatever contradicts it",
        "a start is made again only where none was applied",
        "core/witness.py",
        """\
        unstated=_not_older(gone, oldest_of_all)
        if look.listed
        else next((x for x, at in gone if at > look.began - _PURGED_AFTER), None),
""",
        "        unstated=None,\n",
        first=24,
    ),
    Bug(
        "the only delivery that fits adopted where others start too",
        "what is adopted is what was asked for",
        "core/reconcile.py",
        "    if not seen.job.is_exclusive:\n        return None\n",
        "",
        first=792,
    ),
)

# Each row of R2 left out, in a world that no other row sees through (`traps`).
_AGAIN = "a start is made again only where none was applied"
ROWS = (
    Bug(
        "2.2: few known ones are enough",
        _AGAIN,
        "core/witness.py",
        "if seen.known < ENOUGH_KNOWN:  # 2.2",
        "if seen.known < 0:  # 2.2",
        first=10,
    ),
    Bug(
        "2.3: gaps are not seen",
        _AGAIN,
        "core/witness.py",
        "gap=_not_older(gone, oldest),",
        "gap=None,",
        first=74,
    ),
    Bug(
        "2.4: it need not reach back",
        _AGAIN,
        "core/witness.py",
        "if seen.first_end is None or seen.first_end >= window.lo:  # 2.4",
        "if seen.first_end is None and False:  # 2.4",
        first=138,
    ),
    Bug(
        "2.5: it need not be fresh",
        _AGAIN,
        "core/witness.py",
        "if seen.last_start is None or seen.last_start <= window.hi:  # 2.5",
        "if seen.last_start is None and False:  # 2.5",
        first=202,
    ),
    Bug(
        "2.6: it need not show what has not begun",
        _AGAIN,
        "core/witness.py",
        "has_waiting=row.has_waiting or seen.waiting is not None,  # 2.6",
        "has_waiting=True,  # 2.6",
        first=266,
    ),
    Bug(
        "2.8: a gap is forgotten",
        _AGAIN,
        "core/witness.py",
        "    if gap is not None:  # 2.3, 2.8\n",
        "    gap = seen.gap\n    if gap is not None:  # 2.3, 2.8\n",
        first=330,
    ),
)

# Of what is wrong outside the worker: lines, gateways, routes files, brokers.
OUTSIDE = (
    Bug(
        "whether a start is too late is asked only when its connection is there",
        "no start is sent past its lease",
        "jet/connection.py",
        "            self.guard()\n        except",
        "            pass\n        except",
        first=3,
    ),
    Bug(
        "a start that is given up is still written out",
        "at most one delivery",
        "jet/transport.py",
        "            current.end()\n",
        "",
        first=424,
    ),
    Bug(
        "Jet's clock heard from whoever answers",
        "an intent is dated by Jet",
        "jet/transport.py",
        "if heard is not None and _may_be_jets(response.status_code, body):",
        "if heard is not None:",
        first=5,
    ),
    Bug(
        "a Retry-After by one clock reckoned by another",
        "what Jet holds back waits",
        "jet/transport.py",
        "told = heard.then(self._clock.monotonic()) if heard else self.jet_time\n",
        "told = self.jet_time\n",
        first=27,
    ),
    Bug(
        "what a route says of its new job believed of the old",
        "a start is made again only where none was applied",
        "jet/jobs.py",
        "return job_id if known is not None and _names(known) == _names(route) else None",
        "return job_id",
        first=910,
    ),
    Bug(
        "a start goes where its route led when its turn came",
        "a start goes where its route leads",
        "worker/starts/dispatcher.py",
        "        if self._routes().get(self.name) != route:\n",
        "        now = self._routes().get(self.name)\n"
        "        if now is not None and now.paused:\n",
        first=42,
    ),
    Bug(
        "what a late broker does not show counted and not begun",
        "every valid command is accepted",
        "kafka/ownership.py",
        "        if len(kept) < partitions:\n",
        "        if not kept:\n",
        first=140,
    ),
    Bug(
        "what a late broker does not show is nobody's",
        "a delivery is bound to one command, and to one only",
        "worker/reconciliation/bindings.py",
        "            if of <= max(at_least, len(latest)):\n                return latest\n",
        "            return latest\n",
        first=140,
    ),
    Bug(
        "a late broker believed of the events topic",
        "events of one command are on one partition",
        "kafka/state_store.py",
        "        if partition < counted[topic]:\n",
        "        if partition < 0:\n",
        first=76,
    ),
)
