"""
Seeded lives of real workers over an in-memory Kafka and Jet, in virtual time.

One seed is one run: which worker is killed where, what is lost, what comes late. All
of the worker is the product's own, down to its HTTP client and its transactions; only
the far ends of the wires are ours. `python -m tests.simulation --help`.
"""
