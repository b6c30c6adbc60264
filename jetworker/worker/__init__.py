"""
A worker, from the partitions it is assigned to the events it publishes.

What the product is about. May touch `jet`, `kafka` and what is below them, asyncio and
structlog; neither aiokafka nor httpx.
"""
