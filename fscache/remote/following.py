"""Requests for URLs that a server stages: asked for together, followed until each has ended.

One thread for all of them: it waits at the server, hands on what is there, and shows how far the rest is.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from fscache import errors
from fscache.paths import as_path
from fscache.remote import faults
from fscache.urls.fetcher import settled
from stager.request import FetchRequest, Meter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fscache.remote.asking import Asker
    from fscache.urls.entry import URLEntry

    Miss = tuple[Sequence[str], str | None, URLEntry | None]
    Waiting = tuple[FetchRequest, Meter]

_LOOK = 1.0  # seconds between two looks at the progress of what is waited for
_BATCH = 10_000  # URLs in one call
_WAITED = 256  # requests waited for at once; they end roughly in the order they were asked for
_SHOWN = 64  # requests whose progress is asked for at once


class Follower:
    """Stages URLs on one server and follows them."""

    def __init__(self, asker: Asker, take: Callable[[list[Waiting]], None]) -> None:
        """Ask `asker`; `take` is given the requests whose URLs the server has now, and ends them."""
        self._asker = asker
        self._take = take
        self._changed = threading.Condition()
        self._waiting: dict[str, Waiting] = {}
        self._thread: threading.Thread | None = None
        self._closed = False

    def submit(self, misses: Sequence[Miss], options: dict[str, Any]) -> list[FetchRequest]:
        """Ask for URLs; return a request for each. What cannot be asked for has failed already."""
        found: list[FetchRequest] = []
        for start in range(0, len(misses), _BATCH):
            found += self._ask(misses[start : start + _BATCH], options)
        return found

    def close(self) -> None:
        """Wait no more; what was asked for goes on at the server."""
        with self._changed:
            self._closed = True
            thread = self._thread
            waiting = list(self._waiting.values())
            self._waiting.clear()
        for request, _meter in waiting:
            request.cancel()
        if thread is not None:
            thread.join(_LOOK)

    def _ask(self, misses: Sequence[Miss], options: dict[str, Any]) -> list[FetchRequest]:
        checksums = {urls[0]: checksum for urls, checksum, _ in misses if checksum is not None}
        if checksums:
            options = {**options, "checksums": checksums}
        try:
            ids = self._asker.stage([list(urls) for urls, _, _ in misses], options)
        except (errors.FscacheError, ValueError) as exc:
            return [settled(urls[0], exc) for urls, _, _ in misses]
        requests = []
        with self._changed:
            for identity, (urls, checksum, _) in zip(ids, misses, strict=True):
                meter = Meter(time.monotonic)
                request = FetchRequest(
                    tuple(urls), checksum, meter, leave=self._leaver(identity), convert=as_path
                )
                self._waiting[identity] = (request, meter)
                requests.append(request)
            if self._thread is None:
                self._thread = threading.Thread(target=self._follow, name="asker", daemon=True)
                self._thread.start()
        return requests

    def _leaver(self, identity: str) -> Callable[[FetchRequest], None]:
        def leave(_request: FetchRequest) -> None:
            with self._changed:
                asked = self._waiting.pop(identity, None) is not None
            if asked:
                try:
                    self._asker.cancel([identity])
                except errors.FscacheError:
                    pass  # then it is staged for nothing

        return leave

    def _follow(self) -> None:
        while True:
            with self._changed:
                ids = list(self._waiting)
                if not ids or self._closed:
                    self._thread = None
                    return
            try:
                # A few at a time: each call names all that it waits for.
                ended = self._asker.wait(ids[:_WAITED], _LOOK)
                if not ended:
                    self._measure(ids[:_SHOWN])
            except Exception as exc:  # noqa: BLE001 - whatever it is, the waiters must learn of it
                for identity in ids:
                    self._fail(identity, exc)
                continue
            self._hand_on(ended)

    def _measure(self, ids: list[str]) -> None:
        for status in self._asker.status(ids):
            with self._changed:
                found = self._waiting.get(str(status["id"]))
            if found is not None:
                meter = found[1]
                meter.running = status.get("state") == "running"
                meter.done = int(status.get("done") or 0)
                meter.total = status.get("total")

    def _hand_on(self, ended: list[dict[str, Any]]) -> None:
        here = []
        for status in ended:
            identity = str(status["id"])
            if status.get("state") == "done":
                with self._changed:
                    found = self._waiting.pop(identity, None)
                if found is not None:
                    here.append(found)
                continue
            packed = status.get("error") or {
                "code": "try-again",
                "message": f"request {status.get('state')}",
            }
            self._fail(identity, faults.decode(packed, self._asker.name))
        if not here:
            return
        try:
            self._take(here)
        except Exception as exc:  # noqa: BLE001 - as in _follow
            for request, _meter in here:
                request.fail(exc)

    def _fail(self, identity: str, error: Exception) -> None:
        with self._changed:
            found = self._waiting.pop(identity, None)
        if found is not None:
            found[0].fail(error)
