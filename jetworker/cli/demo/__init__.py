"""`jetworker demo`: a whole installation on this machine, and the account of it."""
