"""What brings a remote cache its misses: the server stages, then its path or its bytes are ours.

The first miss asks the server who it is. A root that proves to be the server's own (see
`server.beacon`) is shared: the path is the answer, no byte travels. Otherwise the object is pulled
into this machine's root by the stager, verified in the stream, resumed after anything.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any

from fscache import errors
from fscache.paths import as_path
from fscache.records.root import Root
from fscache.remote import faults
from fscache.remote.asking import WireAsker
from fscache.remote.transport import SCHEMES, ServerTransport
from fscache.urls.fetcher import Fetcher, settled
from fscache.urls.index import URLIndex
from stager.request import FetchRequest, Meter
from stager.transports import Transports

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Future

    from credentials.model import Credential
    from fscache.config import Config
    from fscache.remote.asking import Asker
    from fscache.remote.rpc import RPC
    from fscache.urls.entry import URLEntry

    Miss = tuple[Sequence[str], str | None, URLEntry | None]

BEACON = "locks/server"
_PARK = 20.0
_LOOK = 1.0  # seconds between two looks at the progress of what is waited for
_VISIBLE = 5.0  # seconds that a network file system may take to show us what the server has written
_MANY = 16  # misses from which the server is told of all before the first is pulled
_BATCH = 10_000  # URLs in one call
_WAITED = 256  # requests waited for at once; they end roughly in the order they were asked for
_SHOWN = 64  # requests whose progress is asked for at once


class SharedFetcher:
    """Stages on a server whose root this machine sees."""

    def __init__(self, asker: Asker, index: URLIndex) -> None:
        """Ask `asker`; `index` is the shared root's."""
        self._asker = asker
        self._index = index
        self._changed = threading.Condition()
        self._waiting: dict[str, tuple[FetchRequest, Meter]] = {}
        self._thread: threading.Thread | None = None
        self._closed = False
        self._wishes: dict[str, dict[str, Any]] = {}

    def wish(self, url: str, wish: dict[str, Any]) -> None:
        """Note how fresh a URL that is about to be asked for must be."""
        kept = {
            name: wish[name]
            for name in ("revalidate", "max_age")
            if wish.get(name) is not None and wish[name] is not False  # a max_age of 0 is one
        }
        if kept:
            self._wishes[url] = kept

    def submit(
        self,
        misses: Sequence[Miss],
        *,
        credential: Credential | None,
        headers: Mapping[str, str] | None,
    ) -> list[FetchRequest]:
        """Ask for URLs; the results are paths in the shared root. See `Fetcher.submit`."""
        sent = {**(headers or {}), **(credential.headers() if credential else {})}
        groups: dict[str, tuple[dict[str, Any], list[int]]] = {}
        for number, (urls, _, _) in enumerate(misses):
            wish = self._wishes.pop(urls[0], {})
            groups.setdefault(repr(wish), (wish, []))[1].append(number)
        requests: dict[int, FetchRequest] = {}
        for wish, numbers in groups.values():
            for start in range(0, len(numbers), _BATCH):
                some = numbers[start : start + _BATCH]
                asked = [misses[number] for number in some]
                made = self._ask(asked, {**wish, "headers": sent} if sent else wish)
                requests.update(zip(some, made, strict=True))
        return [requests[number] for number in range(len(misses))]

    def _ask(self, misses: Sequence[Miss], wish: dict[str, Any]) -> list[FetchRequest]:
        options = dict(wish)
        checksums = {urls[0]: checksum for urls, checksum, _ in misses if checksum is not None}
        if checksums:
            options["checksums"] = checksums
        try:
            ids = self._asker.stage([list(urls) for urls, _, _ in misses], options)
        except (errors.FscacheError, ValueError) as exc:
            return [settled(urls[0], error=exc) for urls, _, _ in misses]
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
                    self._end(identity, error=exc)
                continue
            for status in ended:
                self._take(status)

    def _measure(self, ids: list[str]) -> None:
        for status in self._asker.status(ids):
            with self._changed:
                found = self._waiting.get(str(status["id"]))
            if found is not None:
                meter = found[1]
                meter.running = status.get("state") == "running"
                meter.done = int(status.get("done") or 0)
                meter.total = status.get("total")

    def _take(self, status: dict[str, Any]) -> None:
        identity = str(status["id"])
        error = status.get("error")
        if status.get("state") != "done":
            packed = error or {"code": "try-again", "message": f"request {status.get('state')}"}
            self._end(identity, error=faults.decode(packed, self._asker.name))
            return
        with self._changed:
            found = self._waiting.get(identity)
        if found is None:
            return
        path = self._visible(found[0].urls)
        if path is None:
            why = f"{status.get('url')} is staged and cannot be seen from here"
            self._end(identity, error=errors.RemoteError(self._asker.name, why))
        else:
            self._end(identity, path=path)

    def _visible(self, urls: Sequence[str]) -> str | None:
        until = time.monotonic() + _VISIBLE
        while True:
            for url in urls:
                hit = self._index.find(url)
                if hit is not None:
                    return hit.path
            if time.monotonic() > until:
                return None
            time.sleep(0.05)

    def _end(
        self, identity: str, *, path: str | None = None, error: Exception | None = None
    ) -> None:
        with self._changed:
            found = self._waiting.pop(identity, None)
        if found is None:
            return
        if path is not None:
            found[0].deliver(path)
        elif error is not None:
            found[0].fail(error)


class PullFetcher:
    """Stages on a server and pulls the objects into this machine's root."""

    def __init__(self, root: Root, index: URLIndex, config: Config, rpc: RPC) -> None:
        """Pull into `root`, which exists."""
        self._rpc = rpc
        self._transport = ServerTransport(rpc.client, rpc)

        def transport() -> ServerTransport:
            return self._transport

        self._fetcher = Fetcher(
            root,
            index,
            config,
            transports=Transports(dict.fromkeys(SCHEMES, transport)),
            credentials=lambda _host, _port: None,  # the server has its own
        )

    def wish(self, url: str, wish: dict[str, Any]) -> None:
        """Note what the server should know of a URL that is about to be asked for."""
        self._transport.wish(url, wish)

    def submit(
        self,
        misses: Sequence[Miss],
        *,
        credential: Credential | None,
        headers: Mapping[str, str] | None,
    ) -> list[FetchRequest]:
        """Ask for URLs; the results are paths in this machine's root. See `Fetcher.submit`."""
        if len(misses) >= _MANY and credential is None and not headers:
            self._stage_ahead(misses)
        # One "mirror": which of them has it is the server's business.
        single = [([urls[0]], checksum, known) for urls, checksum, known in misses]
        requests = self._fetcher.submit(single, credential=credential, headers=headers)
        for request in requests:
            request.add_done_callback(self._forget)
        return requests

    def close(self) -> None:
        """Stop; partial files stay."""
        self._fetcher.close()

    def _stage_ahead(self, misses: Sequence[Miss]) -> None:
        """Let the server see all of them at once, not only those that a thread asks for just now."""
        new = [list(urls) for urls, checksum, known in misses if checksum is None and known is None]
        for start in range(0, len(new), _BATCH):
            try:
                self._rpc("url.stage", new[start : start + _BATCH])
            except errors.FscacheError:
                return  # each pull will say what is wrong

    def _forget(self, request: Future[Any]) -> None:
        if isinstance(request, FetchRequest):
            self._transport.forget_wish(request.urls[0])


def shared_root(rpc: RPC, candidates: Sequence[str], now: Callable[[], float]) -> Root | None:
    """Return the server's root as seen from here; None where it cannot be proved to be that.

    Raises:
        FscacheError: the server cannot be asked.
    """
    about = rpc("server.about")
    for path in dict.fromkeys([str(about["root"]), *candidates]):
        try:
            with open(f"{path}/{BEACON}", "rb") as file:
                seen = file.read(64)
        except OSError:
            continue
        if seen == str(about["identity"]).encode("ascii"):
            return Root(os.path.abspath(path), now=now)
    return None


def choose(
    root: Root,
    index: URLIndex,
    config: Config,
    rpc: RPC,
    found: Callable[[Root], None],
) -> SharedFetcher | PullFetcher:
    """Return what suits this machine.

    Args:
        root: This machine's, which exists.
        index: Its URL entries.
        config: Limits and timeouts.
        rpc: The server.
        found: Called with the shared root, if there is one.

    Raises:
        FscacheError: the server cannot be asked.
    """
    shared = shared_root(rpc, [root.path, *config.tiers], root.now)
    if shared is None:
        return PullFetcher(root, index, config, rpc)
    found(shared)
    own = shared.path == root.path
    return SharedFetcher(WireAsker(rpc), index if own else URLIndex(shared, read_only=True))
