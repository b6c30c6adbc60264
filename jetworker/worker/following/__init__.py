"""From started to the end: who is asked when, and what is told of it."""
