"""
One port: probes, metrics and the status of a worker. It answers and changes nothing.

May touch `worker` and what is below it; of others aiohttp's server.
"""
