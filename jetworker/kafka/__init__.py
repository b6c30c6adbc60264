"""
Kafka: topics, transactions, and the consumer group. The only room that knows aiokafka.

May touch `config`, `runtime`, `wire` and `core`.
"""
