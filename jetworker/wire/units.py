"""Numbers and times as people read them."""

from datetime import timedelta

_THOUSAND = 1000
_UNITS = ("kB", "MB", "GB", "TB", "PB", "EB")
_SPANS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def size(number: int) -> str:
    """Return bytes in the unit that leaves at most three digits before the point."""
    if number < _THOUSAND:
        return f"{number} B"
    amount, unit = float(number), ""
    for unit in _UNITS:  # noqa: B007 -- the last one is used
        amount /= _THOUSAND
        if round(amount, 1) < _THOUSAND:
            break
    return f"{amount:.1f} {unit}"


def counted(number: int, noun: str) -> str:
    """Return how many there are of what a regular *noun* names."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def span(length: timedelta) -> str:
    """Return a length of time in its largest whole unit, and the next one."""
    seconds = max(0, int(length.total_seconds()))
    for number, (unit, name) in enumerate(_SPANS):
        if seconds >= unit:
            text = f"{seconds // unit} {name}"
            rest = seconds % unit
            if number + 1 < len(_SPANS):
                smaller, smaller_name = _SPANS[number + 1]
                if rest >= smaller:
                    text += f" {rest // smaller} {smaller_name}"
            return text
    return "0 s"
