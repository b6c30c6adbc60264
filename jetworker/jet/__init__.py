"""
Jet over HTTP: calls, their budget and their token. The only room that speaks to Jet.

May touch `config`, `runtime`, `wire` and `core`; of others httpx and the connections of
aiohttp beneath it, and stamina.
"""
