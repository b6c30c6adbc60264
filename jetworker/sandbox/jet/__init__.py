"""
A Jet API server that really copies files between local folders.

    request -> api: ledger, token, fault -> operations -> world -> engine -> copying
                              |                  |           |
                           answer <- documents <-+        journal (with a data folder)

Operations are plain functions of the world and a call, so that a fault can apply one
before, after or long after its answer is lost. A delivery with `virtual_seconds` has
no task and no files: what it shows is computed from the time when it is asked for.
"""
