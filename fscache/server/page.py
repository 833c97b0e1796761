"""The status page: one HTML document, made here, with nothing to load and no script.

It reloads itself every few seconds, and says so. Everything that came from outside is escaped, and
the headers forbid whatever might get through.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from fscache import __version__
from fscache.server.connection import Response
from fscache.units import format_duration, format_size

if TYPE_CHECKING:
    from fscache.server.figures import Figures, Moving

_REFRESH = 5
_ROWS = 200
_STYLE = """
:root { color-scheme: light dark; --line: #8884; --bar: #3b82c4; --soft: #8882; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin: 0 0 .2rem; } h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
p { margin: .2rem 0; } .quiet { opacity: .7; } .bad { color: #c0392b; font-weight: 600; }
dl { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.2rem 0; }
dl div { border: 1px solid var(--line); border-radius: .4rem; padding: .5rem .9rem; min-width: 6rem; }
dt { font-size: .8rem; opacity: .7; } dd { margin: 0; font-size: 1.25rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid var(--line); }
th { font-size: .8rem; opacity: .7; font-weight: 600; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.url { overflow-wrap: anywhere; } td.bar { width: 30%; }
meter, progress { width: 100%; height: .9rem; accent-color: var(--bar); }
meter::-webkit-meter-optimum-value { background: var(--bar); }
meter::-moz-meter-bar { background: var(--bar); }
td.bar:has(progress) { white-space: nowrap; }
progress + span { display: inline-block; width: 3rem; text-align: right; }
progress:has(+ span) { width: calc(100% - 3.4rem); }
@media (max-width: 48rem) {
  tr { display: flex; flex-wrap: wrap; border-bottom: 1px solid var(--line); padding: .3rem 0; }
  tr:has(th) { display: none; }
  td { border: 0; padding: .1rem .4rem; } td.url, td.bar, td.age { flex: 1 0 100%; width: auto; }
  td[data-of]::after { content: " " attr(data-of); }
}
""".strip()
_SPANS = {
    "hour": "less than an hour ago",
    "day": "an hour to a day ago",
    "week": "a day to a week ago",
    "month": "a week to a month ago",
    "year": "a month to a year ago",
    "longer": "longer ago",
}
_HEADERS = (
    (
        "Content-Security-Policy",
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
)


def respond(figures: Figures) -> Response:
    """Return the page."""
    return Response(200, render(figures).encode("utf-8"), "text/html; charset=utf-8", _HEADERS)


def render(figures: Figures) -> str:
    """Return the page's HTML."""
    running = [each for each in figures.transfers if each.state == "running"]
    queued = [each for each in figures.transfers if each.state != "running"]
    ratio = figures.hit_ratio
    if figures.trouble is None:
        health = "<p>Working.</p>"
    else:
        health = f'<p class="bad">Not working: {escape(figures.trouble)}.</p>'
    space = figures.space
    tiles = (
        ("Transfers", str(len(running))),
        ("In the queue", str(len(queued))),
        ("Waiting requests", str(figures.waiting)),
        ("Hit ratio", "–" if ratio is None else f"{ratio:.1%}"),
        ("Connections", str(figures.connections)),
        ("Requests served", f"{figures.answered:,}"),
        ("Kept", "–" if space.taken is None else format_size(space.kept)),
        ("Free", format_size(space.free) if space.total else "–"),
    )
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="{_REFRESH}">
<title>fscache</title><style>{_STYLE}</style></head><body>
<h1>fscache</h1>{health}
<p class="quiet">Version {escape(__version__)}, up {format_duration(figures.uptime)}.
This page reloads every {_REFRESH} seconds.</p>
<dl>{"".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in tiles)}</dl>
<h2>Transfers</h2>{_transfers(running)}
<h2>Queue</h2>{_queue(queued)}
<h2>Space by last access</h2>{_space(figures)}
</body></html>
"""


def _transfers(running: list[Moving]) -> str:
    if not running:
        return '<p class="quiet">None under way.</p>'
    rows = []
    for each in running[:_ROWS]:
        progress = each.progress
        done = format_size(progress.done)
        if progress.total:
            share = 100 * progress.done / progress.total
            bar = f'<progress max="100" value="{share:.0f}"></progress><span>{share:.0f} %</span>'
            done = f"{done} of {format_size(progress.total)}"
        else:
            bar = '<span class="quiet">size not known</span>'
        rows.append(
            f'<tr><td class="url">{escape(each.url)}</td><td class="bar">{bar}</td>'
            f'<td class="n">{done}</td><td class="n">{format_size(progress.rate)}/s</td>'
            f"{_askers(each.askers)}</tr>"
        )
    head = (
        '<tr><th>URL</th><th>Progress</th><th class="n">Bytes</th><th class="n">Rate</th>'
        '<th class="n">Askers</th></tr>'
    )
    return f"<table>{head}{''.join(rows)}</table>{_more(len(running))}"


def _queue(queued: list[Moving]) -> str:
    if not queued:
        return '<p class="quiet">Empty.</p>'
    rows = "".join(
        f'<tr><td class="url">{escape(each.url)}</td>{_askers(each.askers)}</tr>'
        for each in queued[:_ROWS]
    )
    head = '<tr><th>URL</th><th class="n">Askers</th></tr>'
    return f"<table>{head}{rows}</table>{_more(len(queued))}"


def _space(figures: Figures) -> str:
    space = figures.space
    if space.taken is None:
        return '<p class="quiet">Not counted yet.</p>'
    largest = max((size for _, _, size in space.by_age), default=0) or 1
    rows = "".join(
        f'<tr><td class="age">{_SPANS[age]}</td>'
        f'<td class="bar"><meter max="{largest}" value="{size}">{format_size(size)}</meter></td>'
        f'<td class="n">{format_size(size)}</td><td class="n" data-of="URLs">{urls:,}</td></tr>'
        for age, urls, size in space.by_age
    )
    head = (
        '<tr><th>Last asked for</th><th></th><th class="n">Bytes</th><th class="n">URLs</th></tr>'
    )
    return f"<table>{head}{rows}</table>"


def _askers(count: int) -> str:
    return f'<td class="n" data-of="{"asker" if count == 1 else "askers"}">{count}</td>'


def _more(count: int) -> str:
    return f'<p class="quiet">… and {count - _ROWS} more.</p>' if count > _ROWS else ""
