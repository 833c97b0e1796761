"""What the `admin` commands share: the keeper of the session's root, and arguments of numbers."""

from __future__ import annotations

import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from fscache.admin.keeper import Keeper
    from fscache.cli.session import Session

    Value = TypeVar("Value")


def keeper(session: Session) -> Keeper:
    """Return the keeper of the root; what it finds wrong, and how far it is, go to standard error.

    Raises:
        NotACacheError: there is no cache at the root.
    """
    from fscache.admin.keeper import Keeper

    show = None if session.json or not sys.stderr.isatty() else Steps().show
    return Keeper(session.cache.root, say=note, progress=show)


def note(text: str) -> None:
    """Write a line about what happened on the way."""
    from fscache.urls.bars import printable

    sys.stderr.write(f"fscache: {printable(text)}\n")  # it may name files of anybody's


class Steps:
    """A line on the terminal that says how far something is."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Draw at most ten times a second by `clock`."""
        self._clock = clock
        self._due = 0.0
        self._phase = ""

    def show(self, phase: str, done: int, total: int) -> None:
        """Draw the line, or clear it when the last step is done; `total` is 0 where nobody knows it."""
        finished = done == total
        if not finished and phase == self._phase and self._clock() < self._due:
            return
        self._phase = phase
        self._due = self._clock() + 0.1
        line = ""
        if not finished and total:
            line = f"{phase:<10} [{'#' * int(20 * done / total):<20}] {done}/{total}"
        elif not finished:
            line = f"{phase:<10} {done}"
        sys.stderr.write(f"\r\x1b[K{line}")
        sys.stderr.flush()


def size(text: str) -> int:
    """Read the size of an option; the error names what was given."""
    from fscache.units import parse_size

    return _read(parse_size, text)


def duration(text: str) -> float:
    """Read the duration of an option, in seconds."""
    from fscache.units import parse_duration

    return _read(parse_duration, text)


def share(text: str) -> str:
    """Check an option that is a size or a percentage."""
    from fscache.units import parse_share

    _read(lambda given: parse_share(given, 0), text)
    return text


def percentage(text: str) -> float:
    """Read the percentage of an option, as a fraction."""
    from fscache.units import parse_share

    if not text.endswith("%"):
        return _read(_refuse, text)
    return _read(lambda given: parse_share(given, 10**9) / 10**9, text)


def count(text: str) -> int:
    """Read a number of things."""
    return _read(_natural, text)


def _natural(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"not a number from 0: {text!r}")
    return int(text)


def _refuse(text: str) -> float:
    raise ValueError(f"not a percentage: {text!r}")


def _read(parse: Callable[[str], Value], text: str) -> Value:
    from argparse import ArgumentTypeError

    try:
        return parse(text)
    except ValueError as exc:
        raise ArgumentTypeError(str(exc)) from exc
