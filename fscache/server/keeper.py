"""What the daemon does by itself, in one thread: dropped requests, old files, the figures of the page.

Begins after the port listens, so that a large root delays nobody. Every step is tried again at its
next turn: a full disk or a root that is gone for a while is logged once and survived.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from fscache.errors import FscacheError
from fscache.server.spool import BadSpoolFileError

if TYPE_CHECKING:
    from collections.abc import Callable

    from fscache.server.board import Board
    from fscache.server.spool import Spool

SCAN_INTERVAL = 5.0
"""Seconds after which a dropped request is found at the latest, whatever the watch saw."""
SWEEP_INTERVAL = 3600.0
SURVEY_INTERVAL = 300.0
_STUCK = 120.0

_log = logging.getLogger("fscache.server")


class Keeper:
    """The daemon's own thread."""

    def __init__(
        self,
        spool: Spool,
        board: Board,
        survey: Callable[[], None],
        usable: Callable[[], str | None],
        *,
        scan_interval: float = SCAN_INTERVAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep a spool.

        Args:
            spool: Looked into.
            board: Takes what is found there.
            survey: Counts what is here, for the status page; may take a while.
            usable: Returns why nothing can be done now, None if it can.
            scan_interval: Seconds between two looks.
            clock: Monotonic seconds.
        """
        self._spool = spool
        self._board = board
        self._survey = survey
        self._usable = usable
        self._interval = scan_interval
        self._clock = clock
        self._wake = threading.Event()
        self._stop = False
        self._resumed = False
        self._failing: set[str] = set()
        self._beat = clock()
        self._due: dict[str, float] = {}
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Look now."""
        self._wake.set()

    def stop(self) -> None:
        """End; waits for the step under way."""
        self._stop = True
        self._wake.set()
        self._thread.join(5.0)

    @property
    def alive(self) -> bool:
        """Whether it has made a turn lately."""
        return self._thread.is_alive() and self._clock() - self._beat < _STUCK

    def _run(self) -> None:
        while not self._stop:
            self._beat = self._clock()
            self._wake.clear()
            if self._usable() is None:
                self._attempt("resume", self._resume)
                self._attempt("spool", self._take_dropped)
                self._attempt("sweep", self._spool.sweep, SWEEP_INTERVAL)
                self._attempt("survey", self._survey, SURVEY_INTERVAL)
            self._wake.wait(self._interval)

    def _attempt(self, name: str, step: Callable[[], object], every: float = 0.0) -> None:
        now = self._clock()
        if self._stop or now < self._due.get(name, 0.0):
            return
        self._due[name] = now + every
        try:
            step()
        except (FscacheError, OSError) as exc:
            if name not in self._failing:
                self._failing.add(name)
                _log.warning("%s failed and will be tried again: %s", name, exc)
        except Exception:  # noqa: BLE001 - see below
            # A fault of this program in one step must not end the others for ever.
            _log.exception("%s failed", name)
        else:
            self._failing.discard(name)

    def _resume(self) -> None:
        if self._resumed:
            return
        self._spool.ensure()
        count = self._board.resume()
        self._resumed = True
        if count:
            _log.info("%d requests resumed", count)

    def _take_dropped(self) -> None:
        for name in self._spool.dropped():
            if self._stop:
                return
            try:
                asked = self._spool.read_dropped(name)
            except FileNotFoundError:
                continue
            except BadSpoolFileError as exc:
                _log.warning("spool file %r refused: %s", name[:80], exc)
                self._spool.refuse(name, str(exc))
                continue
            try:
                self._board.take_dropped(name, asked)
            except FscacheError as exc:
                if isinstance(exc, ValueError):
                    self._spool.refuse(name, str(exc))
                    continue
                raise  # the root's fault, not the request's: it stays for the next turn
            except Exception:  # noqa: BLE001 - as above: nor must one file keep all others waiting
                _log.exception("spool file %r failed", name)
                self._spool.refuse(name, "internal error; see the log of the server")
                continue
            self._spool.remove_dropped(name)
