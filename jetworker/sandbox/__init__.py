"""
Stand-ins to try things with: a Jet server over local folders, and a real Kafka.

May touch `wire` and `core`. The worker never imports it, only the command line does.
"""
