"""What comes back of a request to the simulated Jet."""

from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any


@dataclass(frozen=True)
class Reply:
    """An answer; *is_lost*: it never arrives."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    is_lost: bool = False

    @property
    def patience(self) -> float:
        """Return for how many seconds it asks to wait; a date is one of its own clock."""
        asked = self.headers.get("retry-after", "")
        if asked.isdigit():
            return float(asked)
        if "date" not in self.headers or "GMT" not in asked:
            return 0.0
        return (_date(asked) - _date(self.headers["date"])).total_seconds()


def _date(text: str) -> datetime:
    return parsedate_to_datetime(text)
