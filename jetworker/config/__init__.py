"""
The settings: what may be set, and where it is read from.

May touch `wire` and `core`, files, the environment it is given, and the one function of
aiokafka that makes a TLS context.
"""
