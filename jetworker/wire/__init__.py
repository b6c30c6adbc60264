"""What is said: bytes to values and back, for Kafka's records and Jet's JSON."""
