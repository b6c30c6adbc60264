"""
`jetworker ui`: a page over the whole installation, from the topics alone.

It is a command beside the others, not a part of a worker: it knows no worker, follows the
topics as `list` and `explain` read them, and publishes the same orders as `resolve` and
`resend` do. So it lives here and not in `http/`, which answers questions about one worker.

`follow` reads and `core.installation` keeps; `server` serves `looking` and `acting`, the two
kinds of pages, drawn by `drawing` and `pages`, and `live`, which tells them of changes;
`door` says who is let in, and `orders` publishes.
"""
