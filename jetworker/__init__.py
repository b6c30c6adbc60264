"""
jetworker moves files with Signiant Jet when a Kafka message says so.

The rooms, each of which says in its docstring what it is for and what it may touch:

    cli/      the commands                  http/     one port: probes, metrics, status
    worker/   partitions, starts, following, reconciliation: what the product is about
    jet/      calls to Jet                  kafka/    topics, transactions, the group
    config/   the settings                  runtime/  time, luck, log lines, counters
    wire/     bytes <-> values; pure        core/     decisions over values; pure
    sandbox/  a Jet server and a Kafka to try things with; the worker never imports it

Imports go one way: cli, http, worker, jet | kafka, config | runtime, wire, core.

Four ways through the house:

1. A command. `kafka.group` polls, `worker.intake` reads (`wire.commands`) and admits it
   (`core.admission`), `worker.deliveries` takes a step (`core.lifecycle`), and
   `kafka.state_store` commits snapshot, events and offset in one transaction. Only then
   is the effect performed.
2. A start. `worker.starts.dispatcher` writes the intent down and waits for its commit,
   `starts.sender` sends it once (`jet.transport`; the lease is asked last, when the
   connection is in hand), and what the answer means (`core.start_answer`) is the next
   trigger.
3. A lost start. `worker.reconciliation.reconciler` waits, looks at the job
   (`job_observer`) and at the state topic (`bindings`); `core.reconcile` decides: adopt,
   start again, or hold. An operator's order comes in by 1 and ends here.
4. A takeover. `worker.partition` opens the state: `kafka.state_store` fences the
   previous owner, asks for the offset, writes a barrier and restores up to it, in this
   order; then `worker.deliveries` resumes, and an intent without an answer is 3.

Begin reading with `core/lifecycle.py`: its diagram is the life of a delivery.
"""
