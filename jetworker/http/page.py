"""The status page: one escaped, script-free HTML page, refreshed by the browser."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import quote, urlencode

PAGE = 100

STYLE = """
:root { color-scheme: light dark; --line: #8884; --good: #1a7f4b; --bad: #c22f2f;
        --wait: #9a6700; --card: #8881; }
@media (prefers-color-scheme: dark) {
  :root { --good: #4cc38a; --bad: #ff7b72; --wait: #e3b341; } }
body { font: 14px/1.45 system-ui, sans-serif; margin: 1.5rem auto; max-width: 80rem;
       padding: 0 1rem; }
h1 { font-size: 1.3rem; margin-bottom: .3rem; }
h1 small { font-weight: 400; font-size: .9rem; }
h2 { font-size: 1.05rem; margin: 1.8rem 0 .4rem; }
h2 small { font-weight: 400; } a { color: inherit; }
.checks { list-style: none; display: flex; flex-wrap: wrap; gap: .3rem 1rem;
          padding: 0; margin: .6rem 0 1rem; }
.tiles { display: flex; flex-wrap: wrap; gap: .6rem; margin-bottom: .6rem; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
        padding: .4rem .9rem; min-width: 4.5rem; }
.tile b { display: block; font-size: 1.25rem; font-variant-numeric: tabular-nums; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line);
         vertical-align: top; overflow-wrap: anywhere;
         font-variant-numeric: tabular-nums; }
th { font-weight: 600; opacity: .85; white-space: nowrap; overflow-wrap: normal; }
.state, .age, .jetState, .nextQuestion { white-space: nowrap; }
tr.wait td:first-child { box-shadow: inset 3px 0 var(--wait); }
tr.bad td:first-child { box-shadow: inset 3px 0 var(--bad); }
.good { color: var(--good); } .bad .state, .checks .bad { color: var(--bad);
  font-weight: 600; } .wait .state { color: var(--wait); font-weight: 600; }
header p { margin: .2rem 0; } nav { margin: .4rem 0; } nav a { margin-left: .8rem; }
footer { margin-top: 2rem; }
@media (max-width: 48rem) {
  body { margin: .8rem auto; } thead { position: absolute; left: -99rem; }
  table, tbody, tr, td { display: block; } td { border: 0; padding: .1rem 0; }
  tr { border: 1px solid var(--line); border-radius: .4rem; padding: .4rem .6rem;
       margin: .5rem 0; } td:empty { display: none; }
  td::before { content: attr(data-label) ": "; opacity: .8; }
  tr.bad, tr.wait { border-left: 4px solid var(--bad); }
  tr.wait { border-left-color: var(--wait); }
  tr.bad td:first-child, tr.wait td:first-child { box-shadow: none; } }
"""
_STUCK = {"uncertain": "bad", "held": "bad", "waiting": "wait", "cleared": "wait"}
_DELIVERIES = {
    "commandId": "command",
    "route": "route",
    "state": "state",
    "why": "why",
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
    "awaited": "next start awaits",
    "completed": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
}


@dataclass(frozen=True, slots=True)
class View:
    """What is looked at: which deliveries, from where on, refreshed or not."""

    filters: Mapping[str, str]
    offset: int
    total: int
    is_still: bool = False

    def at(self, *, offset: int | None = None, is_still: bool | None = None) -> str:
        """Return the address of this view, or of one that differs by this."""
        offset = self.offset if offset is None else offset
        is_still = self.is_still if is_still is None else is_still
        query = {
            **self.filters,
            **({"offset": str(offset)} if offset else {}),
            **({"refresh": "off"} if is_still else {}),
        }
        return f"/?{urlencode(query)}" if query else "/"


def render(
    status: Mapping[str, Any], deliveries: Sequence[Mapping[str, Any]], view: View
) -> str:
    """
    Return the page for what `/api/status` and `/api/deliveries` say.

    Of what waits it says what for: what was told of it may be over by now.
    """
    counted = status["sinceStart"]
    deliveries = [
        {**each, "why": each["waitsFor"] or each["reason"]} for each in deliveries
    ]
    routes = [r | counted["finished"].get(r["route"], {}) for r in status["routes"]]
    token = counted["tokenExpiresAt"] or "none yet"
    partitions = ", ".join(map(str, status["partitions"])) or "none"
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width, initial-scale=1'>"
        f"<title>This worker: jetworker</title><style>{STYLE}</style></head><body>"
        f"<header><h1>This worker <small>jetworker {_text(status['version'])}, group "
        f"{_text(status['group'])}, partitions {_text(partitions)}, token until "
        f"{_text(token)}</small></h1><p>One worker of the group; all of it shows "
        f"<code>jetworker ui</code>. {_refreshing(view)}</p></header><main>"
        f"<ul class=checks aria-label=Checks>{_checks(status['checks'])}</ul>"
        f"<div class=tiles>{_tiles(status['totals'])}</div>"
        f"<h2>Routes</h2>{_table('Routes', _ROUTES, routes)}"
        f"<h2>Open deliveries, oldest first{_filters(view.filters)}</h2>"
        f"{_paging(view, len(deliveries))}"
        f"{_table('Open deliveries', _DELIVERIES, deliveries)}"
        f"<h2>Since the start</h2><div class=tiles>{_tiles(_sums(counted))}</div>"
        "</main><footer>The same as JSON: <a href=/api/status>/api/status</a>, "
        "<a href=/api/deliveries>/api/deliveries</a>.</footer></body></html>"
    )


def _refreshing(view: View) -> str:
    if view.is_still:
        address = _text(view.at(is_still=False))
        return f"Not refreshed. <a href='{address}'>Refresh every 5 s</a>"
    address = _text(view.at(is_still=True))
    return f"Refreshed every 5 s. <a href='{address}'>Stop refreshing</a>"


def _paging(view: View, shown: int) -> str:
    if not view.total:
        return ""
    last = view.offset + shown
    said = f"{view.offset + 1} to {last} of {view.total}" if shown else "behind the end"
    links = ""
    if view.offset:
        before = _text(view.at(offset=max(0, view.offset - PAGE)))
        links += f" <a rel=prev href='{before}'>Before</a>"
    if last < view.total:
        links += f" <a rel=next href='{_text(view.at(offset=last))}'>Next</a>"
    return f"<nav aria-label='Pages of the list'>{said}{links}</nav>"


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


def _table(
    title: str, columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]]
) -> str:
    """Return a table; its roles are said, since a narrow page draws it as cards."""
    if not rows:
        return "<p>none</p>"
    head = "".join(
        f"<th role=columnheader scope=col>{_text(name)}</th>"
        for name in columns.values()
    )
    body = "".join(
        f"<tr role=row class='{_STUCK.get(str(row.get('state')), '')}'>"
        + "".join(
            f"<td role=cell class={key} data-label='{_text(name)}'>"
            f"{_cell(key, row.get(key))}</td>"
            for key, name in columns.items()
        )
        + "</tr>"
        for row in rows
    )
    return (
        f"<table role=table aria-label='{_text(title)}'><thead role=rowgroup>"
        f"<tr role=row>{head}</tr></thead><tbody role=rowgroup>{body}</tbody></table>"
    )


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
