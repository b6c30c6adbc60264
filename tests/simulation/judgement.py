"""What a run was checked for."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Judgement:
    """What was checked how often, and what was wrong."""

    checked: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def check(self, what: str, holds: object, about: str) -> None:
        """Count a check, and keep what failed."""
        self.checked[what] += 1
        if not holds:
            self.wrong.append(f"{what}: {about}")
