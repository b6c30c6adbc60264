"""A real Apache Kafka from packages of Python's index and Maven's, owned by one process."""
