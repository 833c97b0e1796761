"""What progress looks like: lines of text for a terminal of a given width. Pure.

A line is never wider than the width it is made for, in columns as a terminal counts them, and holds
no control characters, whatever the server calls its files. The narrower the terminal, the less is
told: first the bar goes, which names come before, then the rate, then the sizes; name and percentage
stay.
"""

from __future__ import annotations

import unicodedata

from fscache.units import format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stager.request import Progress

_BAR_COLUMNS = 20
_NAME_COLUMNS = 12
"""Fewer than this for the name, and a part of the figures is left out instead."""


class Glyphs:
    """The characters to draw with."""

    __slots__ = ("ellipsis", "empty", "full")

    def __init__(self, *, unicode: bool) -> None:
        self.full, self.empty, self.ellipsis = ("━", " ", "…") if unicode else ("#", " ", "~")


def printable(text: str) -> str:
    """Return `text` with everything that could steer a terminal written as an escape."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def columns(text: str) -> int:
    """Return how many columns a terminal takes for printable `text`."""
    if text.isascii():
        return len(text)
    return sum(map(_columns, text))


def fit(text: str, width: int, glyphs: Glyphs) -> str:
    """Return `text` in exactly `width` columns: padded, or cut in its middle."""
    have = columns(text)
    if have <= width:
        return text + " " * (width - have)
    if width <= 0:
        return ""
    # The end of a file's name tells more than its middle: number and suffix stand there.
    tail = _take(reversed(text), (width - 1) // 2)[::-1]
    head = _take(text, width - 1 - columns(tail))
    cut = head + glyphs.ellipsis + tail
    return cut + " " * (width - columns(cut))


def file_line(
    name: str, progress: Progress | None, width: int, glyphs: Glyphs, longest: int = 0
) -> str:
    """Return the line of one transfer.

    Args:
        name: Of the file; printable.
        progress: How far it is; None while another process fetches the file.
        width: Columns to fill.
        glyphs: What to draw with.
        longest: Columns of the longest name in the frame: the bar gives way to names.
    """
    bar = ""
    if progress is None:
        layouts = [" waiting for another process", " waiting"]
    elif progress.total is None:
        here, speed = format_size(progress.done), f"{format_size(progress.rate)}/s"
        layouts = [f" {here:>9} {speed:>12}", f" {here:>9}"]
    else:
        done, total, rate = progress.done, progress.total, progress.rate
        speed = f"{format_size(rate)}/s"
        share = min(1.0, done / total) if total else 1.0
        percent = f" {share:4.0%}"
        size = f" {format_size(done) + '/' + format_size(total):>19}"
        left = _clock(max(0, total - done) / rate) if rate > 0 else ""
        full = int(share * _BAR_COLUMNS)
        bar = f" {glyphs.full * full}{glyphs.empty * (_BAR_COLUMNS - full)}"
        layouts = [
            f"{percent}{bar}{size} {speed:>12} {left:>8}",
            f"{percent}{size} {speed:>12} {left:>8}",
            f"{percent}{size} {speed:>12}",
            f"{percent}{size}",
            percent,
        ]
    for index, figures in enumerate(layouts):
        room = width - columns(figures)
        if room >= (max(longest, _NAME_COLUMNS) if bar and index == 0 else _NAME_COLUMNS):
            return fit(name, room, glyphs) + figures
    return fit(name, room, glyphs) + figures if room > 0 else fit(name, width, glyphs)


def total_line(
    *, ended: int, files: int, failed: int, size: int, rate: float, width: int, glyphs: Glyphs
) -> str:
    """Return the line that sums up."""
    texts = [f"{ended}/{files} files", f"{format_size(size)}", f"{format_size(rate)}/s"]
    if failed:
        texts.insert(1, f"{failed} failed")
    while len(texts) > 1 and columns("  ".join(texts)) > width:
        del texts[-1]
    return fit("  ".join(texts), width, glyphs)


def frame(lines: Sequence[str], last: str, height: int) -> list[str]:
    """Return what fits on a screen of `height` lines: the first `lines`, and `last` always."""
    room = max(0, height - 2)
    return [*lines[:room], last]


def _clock(seconds: float) -> str:
    """Return a time to wait as a clock shows it, `1:02:03`; days alone where there are many."""
    if seconds >= 100 * 3600:
        return f"{seconds / 86400:.3g} d"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _take(text: Iterable[str], width: int) -> str:
    taken, used = [], 0
    for char in text:
        used += _columns(char)
        if used > width:
            break
        taken.append(char)
    return "".join(taken)


def _columns(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me"):
        return 0  # drawn onto the character before it
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1
