"""
jetworker moves files with Signiant Jet when a Kafka message says so.

    Kafka command -> desk -> wire.commands -> core.admission, core.lifecycle
                      |                              |
                      |                     delivery, events, effect
                      |                              |
                      |        store: one transaction of snapshot, events and offset
                      |                              |
                 triggers <- starter, follower, lookup <- effects, once it is durable
                                  |
                             Jet's answers

`core/` decides and `wire/` translates; both are pure. The modules at the top level are
the shell: only they wait, read clocks and talk to Kafka and Jet. `sandbox/` is a
product of its own, a Jet server and a Kafka to try things with; the worker never
imports it.
"""
