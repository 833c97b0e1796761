"""What brings a remote cache its misses: the server stages, then its path or its bytes are ours.

The first miss asks the server who it is. A root that proves to be the server's own (see
`server.beacon`) is shared: the path is the answer, no byte travels. Otherwise the object is pulled
into this machine's root by the stager, verified in the stream, resumed after anything.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from fscache import errors
from fscache.records.root import Root
from fscache.remote.asking import WireAsker
from fscache.remote.bundles import Bundles
from fscache.remote.following import Follower
from fscache.remote.transport import SCHEMES, ServerTransport
from fscache.urls.destination import CacheDestination
from fscache.urls.fetcher import Fetcher
from fscache.urls.index import URLIndex
from fscache.urls.names import plain
from stager.request import FetchRequest
from stager.transports import Transports

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Future

    from credentials.model import Credential
    from fscache.config import Config
    from fscache.remote.asking import Asker
    from fscache.remote.following import Miss, Waiting
    from fscache.remote.rpc import RPC
    from fscache.urls.index import Hit

BEACON = "locks/server"
_VISIBLE = 5.0  # seconds that a network file system may take to show us what the server has written
_MANY = 16  # misses from which they are brought in bundles


class SharedFetcher:
    """Stages on a server whose root this machine sees."""

    def __init__(self, asker: Asker, index: URLIndex) -> None:
        """Ask `asker`; `index` is the shared root's."""
        self._index = index
        self._name = asker.name
        self._follower = Follower(asker, self._take)
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
            asked = [misses[number] for number in numbers]
            made = self._follower.submit(asked, {**wish, "headers": sent} if sent else wish)
            requests.update(zip(numbers, made, strict=True))
        return [requests[number] for number in range(len(misses))]

    def close(self) -> None:
        """Wait no more; what was asked for goes on at the server."""
        self._follower.close()

    def _take(self, waiting: list[Waiting]) -> None:
        for request, meter in waiting:
            hit = self._visible(request.urls)
            if hit is None:
                why = f"{request.urls[0]} is staged and cannot be seen from here"
                request.fail(errors.RemoteError(self._name, why))
            else:
                meter.done = meter.total = hit.entry.size
                request.deliver(hit.path)

    def _visible(self, urls: Sequence[str]) -> Hit | None:
        until = time.monotonic() + _VISIBLE
        while True:
            for url in urls:
                hit = self._index.find(plain(url))
                if hit is not None:
                    return hit
            if time.monotonic() > until:
                return None
            time.sleep(0.05)


class PullFetcher:
    """Stages on a server and pulls the objects into this machine's root.

    A few URLs each by the stager, to which the server is every URL's origin. Many are first asked for
    together; what of them is small then comes in bundles, the rest by the stager again.
    """

    def __init__(self, root: Root, index: URLIndex, config: Config, rpc: RPC) -> None:
        """Pull into `root`, which exists."""
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
        destination = CacheDestination(
            root, index, max_size=config.max_size, make_room=root.make_room
        )
        self._bundles = Bundles(rpc.client, destination)
        self._follower = Follower(WireAsker(rpc), self._take)

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
            numbers = [n for n, miss in enumerate(misses) if self._is_plain(miss)]
        else:
            numbers = []
        together = self._follower.submit([misses[number] for number in numbers], {})
        requests = dict(zip(numbers, together, strict=True))
        alone = [number for number in range(len(misses)) if number not in requests]
        # One "mirror": which of them has it is the server's business.
        single = [
            ([urls[0]], checksum, known) for urls, checksum, known in map(misses.__getitem__, alone)
        ]
        made = (
            self._fetcher.submit(single, credential=credential, headers=headers) if single else []
        )
        requests.update(zip(alone, made, strict=True))
        for request in requests.values():
            request.add_done_callback(self._forget)
        return [requests[number] for number in range(len(misses))]

    def close(self) -> None:
        """Stop; partial files stay."""
        self._follower.close()
        self._fetcher.close()

    def _is_plain(self, miss: Miss) -> bool:
        """Whether a URL is asked for under its own name and without conditions."""
        urls, checksum, known = miss
        return (
            checksum is None
            and known is None
            and plain(urls[0]) == urls[0]
            and not self._transport.must_be_fresh(urls[0])
        )

    def _take(self, waiting: list[Waiting]) -> None:
        brought = self._bundles.bring([request.urls[0] for request, _meter in waiting])
        rest = []
        for request, meter in waiting:
            found = brought.get(request.urls[0])
            if found is None:
                rest.append(request)
            else:
                path, size = found
                meter.done = meter.total = size
                request.deliver(path)
        if rest:
            misses: list[Miss] = [([request.urls[0]], None, None) for request in rest]
            pulled = self._fetcher.submit(misses, credential=None, headers=None)
            for request, other in zip(rest, pulled, strict=True):
                request.follow(other)

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
