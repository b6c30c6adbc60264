"""The status page: one escaped, script-free HTML page, refreshed by the browser."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --good: #2a7; --bad: #c43; }
body { font: 14px/1.45 system-ui, sans-serif; margin: 1.5rem auto; max-width: 76rem;
       padding: 0 1rem; }
h1 { font-size: 1.3rem; } h1 small { font-weight: 400; opacity: .7; }
h2 { font-size: 1.05rem; margin-top: 1.8rem; }
.tiles { display: flex; flex-wrap: wrap; gap: .6rem; }
.tile { border: 1px solid var(--line); border-radius: .5rem; padding: .4rem .9rem; }
.tile b { display: block; font-size: 1.25rem; font-variant-numeric: tabular-nums; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line);
         vertical-align: top; overflow-wrap: anywhere; }
th { font-weight: 600; opacity: .75; } td.n { font-variant-numeric: tabular-nums; }
.good { color: var(--good); } .bad { color: var(--bad); font-weight: 600; }
"""


def render(status: Mapping[str, Any], deliveries: Sequence[Mapping[str, Any]]) -> str:
    """Return the page for what `/api/status` and `/api/deliveries` say."""
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width'>"
        "<meta http-equiv=refresh content=5><title>jetworker</title>"
        f"<style>{_STYLE}</style>"
        f"<h1>jetworker <small>{escape(str(status['version']))} &middot; group "
        f"{escape(str(status['group']))} &middot; partitions "
        f"{escape(_list(status['partitions']))}</small></h1>"
        f"<p>{_checks(status['checks'])}</p>"
        f"<div class=tiles>{_tiles(status['totals'])}</div>"
        f"<h2>Deliveries, oldest first</h2>{_table(_DELIVERIES, deliveries)}"
        f"<h2>Routes</h2>{_table(_ROUTES, status['routes'])}"
        "<p>This is one worker's view; all of it is also JSON: "
        "<code>/api/status</code>, <code>/api/deliveries</code>.</p></html>"
    )


_DELIVERIES = {
    "commandId": "command",
    "route": "route",
    "state": "state",
    "reason": "why",
    "jetState": "Jet says",
    "progress": "progress",
    "age": "age",
    "nextQuestion": "asked next",
    "deliveryId": "delivery",
}
_ROUTES = {
    "route": "route",
    "job": "job",
    "open": "open",
    "limit": "limit",
    "waiting": "waiting",
    "obstacle": "in the way",
}


def _checks(checks: Mapping[str, str | None]) -> str:
    return " &middot; ".join(
        f"<span class={'bad' if wrong else 'good'}>{escape(name)}: "
        f"{escape(wrong or 'ok')}</span>"
        for name, wrong in checks.items()
    )


def _tiles(totals: Mapping[str, Any]) -> str:
    return "".join(
        f"<div class=tile><b>{escape(str(value))}</b>{escape(name)}</div>"
        for name, value in totals.items()
    )


def _table(columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return "<p>none</p>"
    head = "".join(f"<th>{escape(title)}</th>" for title in columns.values())
    body = "".join(
        "<tr>" + "".join(f"<td class=n>{_cell(row.get(key))}</td>" for key in columns)
        for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _cell(value: Any) -> str:
    return "" if value is None else escape(str(value))


def _list(values: Sequence[Any]) -> str:
    return ", ".join(str(value) for value in values) or "none"
