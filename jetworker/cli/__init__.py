"""
The commands: argv in, exit code out; one module a command.

May touch every room. `main` says which commands there are, and what they take.
"""
