"""Which paths a route allows."""

from collections.abc import Sequence


def path_allowed(path: str, prefixes: Sequence[str]) -> bool:
    """
    Whether *path* is one of *prefixes* or below it, by whole segments.

    `/ingest/` and `/ingest` both allow the folder `/ingest` and everything below, not
    `/ingest2`. No prefixes allow everything.
    """
    if not prefixes:
        return True
    for prefix in prefixes:
        folder = prefix.rstrip("/")
        if path == folder or path.startswith(f"{folder}/"):
            return True
    return False
