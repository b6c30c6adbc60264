"""The status page: one escaped, script-free HTML page, refreshed by the browser."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import quote

STYLE = """
:root { color-scheme: light dark; --line: #8884; --good: #1a7f4b; --bad: #c22f2f;
        --wait: #9a6700; --card: #8881; }
@media (prefers-color-scheme: dark) {
  :root { --good: #4cc38a; --bad: #ff7b72; --wait: #e3b341; } }
body { font: 14px/1.45 system-ui, sans-serif; margin: 1.5rem auto; max-width: 80rem;
       padding: 0 1rem; }
h1 { font-size: 1.3rem; margin-bottom: .3rem; }
h1 small { font-weight: 400; opacity: .75; font-size: .9rem; }
h2 { font-size: 1.05rem; margin: 1.8rem 0 .4rem; }
h2 small { font-weight: 400; } a { color: inherit; }
.checks { list-style: none; display: flex; flex-wrap: wrap; gap: .3rem 1rem;
          padding: 0; margin: .6rem 0 1rem; }
.tiles { display: flex; flex-wrap: wrap; gap: .6rem; margin-bottom: .6rem; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
        padding: .4rem .9rem; min-width: 4.5rem; }
.tile b { display: block; font-size: 1.25rem; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line);
         vertical-align: top; overflow-wrap: anywhere;
         font-variant-numeric: tabular-nums; }
th { font-weight: 600; opacity: .75; white-space: nowrap; overflow-wrap: normal; }
.state, .age, .jetState, .nextQuestion { white-space: nowrap; }
tr.wait td:first-child { box-shadow: inset 3px 0 var(--wait); }
tr.bad td:first-child { box-shadow: inset 3px 0 var(--bad); }
.good { color: var(--good); } .bad .state, .checks .bad { color: var(--bad);
  font-weight: 600; } .wait .state { color: var(--wait); font-weight: 600; }
footer { margin-top: 2rem; opacity: .75; }
"""
_STUCK = {"uncertain": "bad", "held": "bad", "waiting": "wait", "cleared": "wait"}
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
    "completed": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
}


def render(
    status: Mapping[str, Any],
    deliveries: Sequence[Mapping[str, Any]],
    filters: Mapping[str, str],
) -> str:
    """Return the page for what `/api/status` and `/api/deliveries` say."""
    counted = status["sinceStart"]
    routes = [r | counted["finished"].get(r["route"], {}) for r in status["routes"]]
    token = counted["tokenExpiresAt"] or "none yet"
    partitions = ", ".join(map(str, status["partitions"])) or "none"
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width'>"
        "<meta http-equiv=refresh content=5><title>jetworker</title>"
        f"<style>{STYLE}</style></head><body>"
        f"<h1>jetworker <small>{_text(status['version'])} &middot; group "
        f"{_text(status['group'])} &middot; partitions {_text(partitions)} &middot; "
        f"token until {_text(token)}</small></h1>"
        f"<ul class=checks>{_checks(status['checks'])}</ul>"
        f"<div class=tiles>{_tiles(status['totals'])}</div>"
        f"<h2>Since the start</h2><div class=tiles>{_tiles(_sums(counted))}</div>"
        f"<h2>Open deliveries, oldest first{_filters(filters)}</h2>"
        f"{_table(_DELIVERIES, deliveries)}"
        f"<h2>Routes</h2>{_table(_ROUTES, routes)}"
        "<footer>One worker's view, refreshed every 5 s. The same as JSON: "
        "<a href=/api/status>/api/status</a>, "
        "<a href=/api/deliveries>/api/deliveries</a>.</footer></body></html>"
    )


def _sums(counted: Mapping[str, Any]) -> dict[str, int]:
    finished = counted["finished"].values()
    return (
        {f"commands {outcome}": n for outcome, n in counted["commands"].items()}
        | {
            outcome: sum(route.get(outcome, 0) for route in finished)
            for outcome in ("completed", "failed", "cancelled")
        }
        | {"events": counted["events"]}
    )


def _checks(checks: Mapping[str, str | None]) -> str:
    return "".join(
        f"<li class={'bad' if wrong else 'good'}>{_text(name)}: {_text(wrong or 'ok')}"
        for name, wrong in checks.items()
    )


def _tiles(totals: Mapping[str, Any]) -> str:
    return "".join(
        f"<div class=tile><b>{_text(value)}</b>{_text(name)}</div>"
        for name, value in totals.items()
    )


def _filters(filters: Mapping[str, str]) -> str:
    shown = ", ".join(f"{name} {value}" for name, value in filters.items())
    return f" <small>({_text(shown)}; <a href='/'>all</a>)</small>" if shown else ""


def _table(columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return "<p>none</p>"
    head = "".join(f"<th>{_text(title)}</th>" for title in columns.values())
    body = "".join(
        f"<tr class='{_STUCK.get(str(row.get('state')), '')}'>"
        + "".join(f"<td class={key}>{_cell(key, row.get(key))}</td>" for key in columns)
        + "</tr>"
        for row in rows
    )
    return f"<div class=wide><table><tr>{head}</tr>{body}</table></div>"


def _cell(column: str, value: Any) -> str:
    match column:
        case "commandId":
            address = f"/api/deliveries/{quote(str(value), safe='')}"
            return f"<a href='{_text(address)}'>{_text(value)}</a>"
        case "route" | "state":
            query = f"{column}={quote(str(value), safe='')}"
            return f"<a href='/?{_text(query)}'>{_text(value)}</a>"
        case _:
            return _text(value)


def _text(value: Any) -> str:
    return "" if value is None else escape(str(value))
