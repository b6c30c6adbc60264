"""
What any process has: time, luck, log lines, counters, and loops that must turn.

May touch `core` alone; of others structlog and prometheus-client.
"""
