"""What an id of Jet's may look like: it becomes part of a path."""

import re
from typing import TypeGuard

# Jet's page shows UUIDs; what has no meaning in a path is let be one too.
JET_ID_PATTERN = r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$"
_JET_ID = re.compile(JET_ID_PATTERN)


def is_jet_id(value: object) -> TypeGuard[str]:
    """Whether it can be an id of a job, delivery, transfer or storage profile."""
    return isinstance(value, str) and _JET_ID.fullmatch(value) is not None
