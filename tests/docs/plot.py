"""A plot of measured numbers as plain SVG: lines over a logarithmic axis, one panel each."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from math import log10
from xml.sax.saxutils import escape

_WIDTH, _HEIGHT = 360, 220  # of a panel, its margins included
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 28, 36, 40
_STEPS = 4
_PANELS = (
    ("cpu_ms", "CPU a delivery, ms"),
    ("calls", "calls to Jet a delivery"),
    ("start_p99_s", "start, p99, s"),
    ("end_seen_p99_s", "end at Jet to event, p99, s"),
)
_STYLE = (
    "text{font:12px sans-serif;fill:#444}.title{font-weight:bold}"
    "line{stroke:#ddd}polyline{fill:none;stroke:#1f6feb;stroke-width:2}circle{fill:#1f6feb}"
)


@dataclass(frozen=True, slots=True)
class _Panel:
    """One figure over the number that was open."""

    title: str
    numbers: Sequence[float]
    figures: Sequence[float]

    def x(self, number: float) -> float:
        """Return where a number is, from the left."""
        low, high = log10(min(self.numbers)), log10(max(self.numbers))
        share = (log10(number) - low) / ((high - low) or 1.0)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y(self, figure: float) -> float:
        """Return where a figure is, from the top; zero is at the bottom."""
        share = figure / (max(self.figures) or 1.0)
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)

    def lines(self) -> list[str]:
        """Return the elements of the panel."""
        found = [_text(_LEFT, 20, self.title, "title", "start")]
        for step in range(_STEPS + 1):
            figure = max(self.figures) * step / _STEPS
            y = self.y(figure)
            found.append(
                f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH - _RIGHT}" y2="{y:.1f}"/>'
            )
            found.append(_text(_LEFT - 6, y + 4, f"{figure:.3g}", "", "end"))
        points = [
            (self.x(number), self.y(figure))
            for number, figure in zip(self.numbers, self.figures, strict=True)
        ]
        shown = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        found.append(f'<polyline points="{shown}"/>')
        found += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in points]
        found += [
            _text(self.x(number), _HEIGHT - 22, f"{number:,.0f}", "", "middle")
            for number in self.numbers
        ]
        found.append(_text((_LEFT + _WIDTH) / 2, _HEIGHT - 6, "open", "", "middle"))
        return found


def svg(text: str) -> str:
    """Return the plot of a CSV file whose first column is how many were open."""
    rows = list(csv.DictReader(StringIO(text)))
    numbers = [float(row["open"]) for row in rows]
    width, height = 2 * _WIDTH, 2 * _HEIGHT
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
        f' width="{width}" height="{height}" role="img">',
        "<title>What a delivery costs, by how many are open</title>",
        f"<style>{_STYLE}</style>",
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for number, (field, title) in enumerate(_PANELS):
        panel = _Panel(title, numbers, [float(row[field]) for row in rows])
        x, y = number % 2 * _WIDTH, number // 2 * _HEIGHT
        lines += [f'<g transform="translate({x} {y})">', *panel.lines(), "</g>"]
    return "\n".join([*lines, "</svg>", ""])


def _text(x: float, y: float, text: str, kind: str, anchor: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">'
        f"{escape(text)}</text>"
    )
