"""A long list of URLs of one host, with processes beside this one that begin at the list's other end.

A small file takes 300 µs of Python, and threads take the interpreter from each other: one process
fetches some 3,000 a second, whatever it has of processors. So a long list is asked for window by window,
and once that has been seen to take the processor, not the network, helpers (`fs.helper`) get pieces from
the end. They fetch into the same root as other processes do, by claims of their own, and return paths.

Promises: what `get_many` promises, helped or not. No helper is needed: at the end its pieces are asked
for here too, where what it has fetched is there, and what it is fetching is waited for, as anybody's;
but helpers are ended when nothing has come to this process for a while. What fails there is asked for
here again, so that its errors are this process's own. Helpers are told no credentials (but a proxy's,
which they need), and ask no other host. All together have up to 32 connections to this one, or no more
than `per_host` where somebody has set it. Where the network is what takes the time, all that is left is
asked for at once: retries, and those who wait for others, must not hold up the list.

Not promised: that failing URLs are asked for once; that files come in the order of the list; that what a
helper would have logged is logged.

What was rejected: handing over requests that this process has made already (`prefetch`) and taking them
back, which costs it half as much as fetching does. Measured in docs/performance.md.
"""

from __future__ import annotations

import gc
from collections import deque
from concurrent.futures import CancelledError, wait
from contextlib import suppress
from itertools import islice
from math import inf
from time import monotonic, process_time
from typing import TYPE_CHECKING

from fscache.fs import helper
from fscache.paths import as_path
from stager.request import FetchRequest
from stager.urls import site

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import Any, TypeGuard

    from fscache.urls.face import URLs
    from fscache.urls.fetcher import Loan

    Recipe = tuple[str, str, *tuple[Any, ...]]
    """Module, function and arguments of what makes a helper's `Bring`, as `fs.helper` takes them."""
    Piece = tuple[list[str], list[str | None]]
    """URLs and their checksums."""
    Bring = Callable[[Piece], list[str | None]]
    """Fetches a piece; returns paths, None for what failed."""

LEAST = 1000
"""URLs from which a list is long: 0.3 s, of which a helper needs 0.1 to start."""
PIECE = 128
"""URLs that are asked for, or given to a helper, at a time."""
PROOF = 32
"""Files that show whether it is the processor that they take."""
WORTH = 4
"""Pieces that must be left for helpers to be worth their start."""
MOST = 3
"""Helpers. More have not been measured, and a root's directories have locks in the kernel."""
_LOW = 32
"""Requests under way, from which on more are made."""
_IN_HAND = 3
"""Pieces that a helper has, so that it need not wait while this process is at something else."""
_BUSY = 0.5
"""Of the time, in which this process has had the processor."""
_SOON, _LATE = 0.02, 0.5
"""Seconds after which a wait looks whether others than the oldest have ended: at first, twice as many
after each that was in vain, and at most."""
_QUIET = 5
"""Waits in vain, 0.6 s, from which it is the network or others that are waited for. Not counted by the
clock: a machine that has stood still has not waited."""
_STUCK = 9
"""The same, 2.6 s, from which helpers may be stopped, and hold what is waited for."""
_PARTING = 0.5
"""Seconds for helpers to end what others have done meanwhile."""


def is_long(urls: Sequence[object]) -> TypeGuard[Sequence[str]]:
    """Whether a list is worth a `Batch`: long, and of one host, since windows hold up the others.

    And of plain text, without a password, as helpers can be told.
    """
    if len(urls) < LEAST or type(urls[0]) is not str or not helper.spare():
        return False
    host = site(urls[0])
    return "@" not in host and all(type(url) is str and url.startswith(host) for url in urls)


def can_be_told(sums: Sequence[object]) -> bool:
    """Whether helpers can be told these checksums."""
    return all(checksum is None or type(checksum) is str for checksum in sums)


class _Aide:
    """One helper, and the pieces that it has."""

    __slots__ = ("given", "has_failed", "helper")

    def __init__(self, recipe: Recipe) -> None:
        self.helper = helper.Helper(*recipe)
        self.given: deque[Sequence[int]] = deque()
        self.has_failed = False
        """Whether a whole piece has failed: its server may be in trouble, and it does not wait."""

    @property
    def is_useful(self) -> bool:
        """Whether it is to have more."""
        return not self.has_failed and self.helper.is_alive


class Batch:
    """One long list."""

    def __init__(self, cache: URLs, urls: Sequence[str], sums: Sequence[str | None]) -> None:
        """Begin nothing yet; `sums` are the checksums of `urls`."""
        self._cache = cache
        self._urls = urls
        self._sums = sums
        size = len(urls)
        self._left = deque(range(at, min(at + PIECE, size)) for at in range(0, size, PIECE))
        self._failed: deque[Sequence[int]] = deque()
        """What helpers could not fetch."""
        self._aides: list[_Aide] = []
        self._loan: Loan | None = None
        self._undecided = True
        """Whether helpers have not been thought of yet."""
        self._low = float(_LOW)
        self._pending: dict[FetchRequest, int] = {}
        self._in_vain = 0
        """Waits since something last ended."""
        self._fetched = 0
        self._began: tuple[float, float] | None = None
        """The moment, and the processor's, at which the first files were here: imports do not count."""
        self._paths: dict[int, Path] = {}
        self._errors: dict[int, Exception] = {}

    def paths(self) -> list[Path]:
        """Return the paths, or raise the first error in the list's order, once all have ended.

        Raises:
            CancelledError: the cache was closed meanwhile.
        """
        try:
            self._fetch()
            end = monotonic() + _PARTING
            for aide in self._aides:
                aide.helper.settle(end - monotonic())
        finally:
            self._dismiss()
        if self._errors:
            raise self._errors[min(self._errors)]
        return [self._paths[index] for index in range(len(self._urls))]

    def _fetch(self) -> None:
        while True:
            while len(self._pending) <= self._low and (piece := self._next()) is not None:
                self._begin(piece)
            if not self._pending:
                return
            self._wait()
            self._exchange()
            if self._began is None:
                if self._fetched:
                    self._began = monotonic(), process_time()
                    self._fetched = 0
            elif self._undecided and self._fetched >= PROOF:
                self._undecided = False
                self._get_help(*self._began)
            # The first may take long by themselves: imports, a name, a connection.
            patient = self._aides or self._began is None
            if self._in_vain >= (_STUCK if patient else _QUIET) or not (
                self._undecided or any(aide.is_useful for aide in self._aides)
            ):
                self._dismiss()
                self._low = inf

    def _next(self) -> Sequence[int] | None:
        """Return a piece that nobody has begun, or at the end one that a helper has not ended."""
        self._exchange()
        for pieces in (self._left, self._failed):
            if pieces:
                return pieces.popleft()
        slowest = max(self._aides, key=lambda aide: len(aide.given), default=None)
        return slowest.given.pop() if slowest is not None and slowest.given else None

    def _begin(self, piece: Sequence[int]) -> None:
        urls, sums = self._urls, self._sums
        outcomes = self._cache._start(  # noqa: SLF001 - as above
            [[urls[index]] for index in piece], [sums[index] for index in piece]
        )
        for index, outcome in zip(piece, outcomes, strict=True):
            if isinstance(outcome, FetchRequest):
                self._pending[outcome] = index
            elif isinstance(outcome, Exception):
                self._errors[index] = outcome
            else:
                self._paths[index] = outcome

    def _wait(self) -> None:
        """Wait for the oldest requests, not too long where others end before them."""
        if self._low == inf:
            wait(self._pending)  # nothing else is to be done meanwhile
        else:
            patience = min(_SOON * 2**self._in_vain, _LATE)
            wait(list(islice(self._pending, PIECE)), patience)
        ended = [request for request in self._pending if request.done()]
        self._in_vain = 0 if ended else self._in_vain + 1
        for request in ended:
            index = self._pending.pop(request)
            try:
                self._paths[index] = request.result()
            except CancelledError:
                raise  # the cache was closed: no more is to be begun
            except Exception as exc:  # noqa: BLE001 - whatever it is, the others come first
                self._errors[index] = exc
            else:
                self._fetched += not request.elsewhere

    # --- helpers -----------------------------------------------------------------------------

    def _get_help(self, began: float, worked: float) -> None:
        """Start helpers if the processor is what this process lacks."""
        busy = process_time() - worked > _BUSY * (monotonic() - began)
        if not busy or len(self._left) < WORTH:
            return
        known = self._urls[next(iter(self._paths))]
        lent = self._cache._lend(known, min(MOST, helper.spare()))  # noqa: SLF001 - as above
        if lent is None:
            return
        self._loan, recipe = lent
        with suppress(OSError, ValueError):  # no memory, no process: it takes longer
            for _ in range(self._loan.helpers):
                self._aides.append(_Aide(recipe))

    def _dismiss(self) -> None:
        """End the helpers; what they have not done is done here."""
        try:
            for aide in self._aides:
                aide.helper.close()
                self._failed.extend(aide.given)
            self._aides.clear()
        finally:
            if self._loan is not None:
                self._loan.give_back()
                self._loan = None

    def _exchange(self) -> None:
        """Take what helpers have done, and give them more."""
        for aide in self._aides:
            for texts in aide.helper.results():
                if not aide.given:
                    break  # they have been begun here meanwhile, the last that was given first
                piece = aide.given.popleft()
                failed = [index for index, text in zip(piece, texts, strict=True) if text is None]
                if failed:
                    self._failed.append(failed)
                    aide.has_failed |= len(failed) == len(piece)
                self._paths.update(
                    (index, as_path(text))
                    for index, text in zip(piece, texts, strict=True)
                    if text is not None
                )
            while self._left and len(aide.given) < _IN_HAND and aide.is_useful:
                piece = self._left.pop()
                aide.given.append(piece)
                sums = [self._sums[index] for index in piece]
                aide.helper.give(([self._urls[index] for index in piece], sums))


def bringer(cache: URLs) -> Bring:
    """Return what does pieces in a helper."""
    # All that is here will stay, and what comes is let go without the collector's help, but for some
    # objects a file: looking for them every 700 objects takes a helper 7 % of its time.
    gc.freeze()
    gc.set_threshold(50_000)

    def bring(piece: Piece) -> list[str | None]:
        urls, sums = piece
        outcomes = cache._start([[url] for url in urls], sums)  # noqa: SLF001 - as above
        wait([outcome for outcome in outcomes if isinstance(outcome, FetchRequest)])
        return [_text(outcome) for outcome in outcomes]

    return bring


def _text(outcome: Path | FetchRequest | Exception) -> str | None:
    if isinstance(outcome, FetchRequest):
        return None if outcome.exception() else str(outcome.result())
    return None if isinstance(outcome, Exception) else str(outcome)
