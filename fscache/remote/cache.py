"""`RemoteCache`: a cache whose misses a data server brings.

Everything of `Cache`, with the same signatures and errors. What this machine's root, its tiers or a
root shared with the server hold is handed out without asking anybody; a server that is away is
noticed by misses only.
"""

from __future__ import annotations

import os
import time
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from fscache import config as configuration
from fscache import errors
from fscache.cache import Cache
from fscache.objects.layout import parse_address
from fscache.paths import as_path
from fscache.records.root import Root
from fscache.remote.admin import RemoteAdmin
from fscache.remote.asking import SpoolAsker
from fscache.remote.connect import connect
from fscache.remote.fetcher import PullFetcher, SharedFetcher, choose
from fscache.remote.kv import RemoteStore
from fscache.remote.objects import pull, push
from fscache.urls.index import URLIndex
from fscache.urls.names import is_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from fscache.config import Config
    from fscache.remote.rpc import RPC
    from fscache.remote.tasks import RemoteTasks
    from fscache.tasks.needs import Needs
    from fscache.urls.fetcher import Fetcher
    from fscache.urls.resolver import Miss, Source

SPOOL = "spool:"
"""Begins the address of a server that can be reached by files only: `spool:/path/of/its/root`."""


class RemoteCache(Cache):
    """A data server, and this machine's root before it."""

    def __init__(
        self,
        server: str | None = None,
        port: int | None = None,
        *,
        token: str | None = None,
        root: str | os.PathLike[str] | None = None,
        shared: bool = True,
        config: Config | None = None,
        now: Callable[[], float] = time.time,  # noqa: TID251 - the default of the injected clock
    ) -> None:
        """Use a server; nothing is sent before something is missing.

        Args:
            server: `host`, `host:port`, `https://host:port`, `token:SECRET@host:port` or
                `spool:/path/of/its/root`; from the configuration by default.
            port: Where `server` names none.
            token: Where `server` names none; from the configuration by default.
            root: This machine's root; from the configuration by default.
            shared: Hand out paths of the server's own root where this machine sees it; without, every
                object is pulled into `root`.
            config: Settings.
            now: The clock, seconds since the epoch.

        Raises:
            ConfigError: there is no server, or a setting cannot be used.
        """
        settled = config or configuration.load()
        # `self._choose` would make a circle, and our connections stay open until it is collected.
        this = weakref.ref(self)

        def choose(root: Root, index: URLIndex, config: Config) -> Fetcher:
            return cast("RemoteCache", this())._choose(root, index, config)  # noqa: SLF001 - our own

        super().__init__(root, config=settled, now=now, fetcher=choose)
        text = server or settled.server
        if text is None:
            raise errors.ConfigError("server", "configuration", "no data server is named")
        self._rpc: RPC | None = None
        self._remote_tasks: tuple[RemoteTasks, Needs] | None = None
        if text.startswith(SPOOL):
            self._asker = SpoolAsker(text[len(SPOOL) :])
            self._share(Root(os.path.abspath(text[len(SPOOL) :]), now=now))
            self.server = text
        else:
            self._rpc = connect(text, settled, port=port, token=token)
            self.server = self._rpc.client.name
        self._may_share = shared
        self._asked = False

    @property
    def rpc(self) -> RPC:
        """The server's methods.

        Raises:
            ServerUnreachableError: it is reached by files only.
        """
        if self._rpc is None:
            raise errors.ServerUnreachableError(self.server, "this needs a network path to it")
        return self._rpc

    @property
    def kv(self) -> RemoteStore:  # type: ignore[override]  # both are `KeyValues`
        """The server's key-values."""
        return RemoteStore(self.rpc)

    @property
    def admin(self) -> RemoteAdmin:  # type: ignore[override]  # the same methods
        """The server's administration; needs an admin's token."""
        return RemoteAdmin(self.rpc)

    @property
    def tasks(self) -> RemoteTasks:  # type: ignore[override]  # both are `Tasks`
        """The server's task records; functions run here."""
        from fscache.remote.tasks import RemoteTasks
        from fscache.tasks.needs import Needs

        rpc = self.rpc
        with self._making:
            if self._remote_tasks is None:
                needs = Needs(lambda url: self.prefetch([url])[0], self.wait_met)
                made = RemoteTasks(rpc, now=self._now, resolve=needs.resolve)
                self._remote_tasks = made, needs
        return self._remote_tasks[0]

    # -- what goes to the server ---------------------------------------------------------------

    def put(self, source: bytes | str | os.PathLike[str] | BinaryIO) -> str:
        """Keep bytes or a file, here and on the server; see `Cache.put`. The address is the server's."""
        kept = super().put(source)
        return push(self.rpc.client, os.fspath(super().path(kept)))

    def path(self, name: str) -> Path:
        """Return the path of an address or URL; an object that is not here is pulled.

        Raises:
            NotCachedError: it is not there either; a URL is not asked for.
            InvalidAddressError: neither a URL nor 20 hex digits.
        """
        try:
            return super().path(name)
        except errors.NotCachedError:
            if not self.config.offline and self._can_meet(name):
                return self.path(name)
            if is_url(name) or self._rpc is None:
                raise
        address, _slot = parse_address(name)
        self.root.ensure()
        return as_path(pull(self._rpc.client, self.root, name, address))

    def forget(self, url: str) -> bool:
        """Forget a URL, here and on the server. False if neither knew it."""
        here = super().forget(url)
        there = bool(self.rpc("url.forget", url))
        return here or there

    def entries(self) -> Iterator[dict[str, object]]:
        """Yield what the server has recorded of every URL, as a mapping of columns."""
        yield from self.rpc("url.entries")

    def met(self, name: str) -> None:
        """Declare a precondition met, for everybody and for ever."""
        self.rpc("precondition.met", name)

    def wait_met(self, names: str | Sequence[str], timeout: float) -> list[str]:
        """Wait until all these preconditions are met, at most `timeout` s; return those that are."""
        listed = [names] if isinstance(names, str) else list(names)
        until = time.monotonic() + timeout
        while True:
            left = max(0.0, min(until - time.monotonic(), 30.0))
            found: list[str] = self.rpc("precondition.wait", listed, left, parked=left)
            if len(found) == len(listed) or time.monotonic() >= until:
                return found

    def close(self) -> None:
        """Stop fetching and close the connection."""
        tasks, self._remote_tasks = self._remote_tasks, None
        if tasks is not None:
            tasks[0].close()
            tasks[1].close()
        super().close()
        if self._rpc is not None:
            self._rpc.client.close()

    def __reduce__(self) -> tuple[Any, ...]:
        at = self.server if self._rpc is None else self._rpc.client.address.url
        return partial(RemoteCache, root=self.root.path, shared=self._may_share), (at,)

    def __repr__(self) -> str:
        return f"RemoteCache({self.server!r}, root={self.root.path!r})"

    # -- inside -------------------------------------------------------------------------------

    def _can_meet(self, name: str) -> bool:
        try:
            return self._meet()
        except errors.ServerUnreachableError:
            if is_url(name):
                return False  # a URL is not asked for: then it is not here
            raise

    def _meet(self) -> bool:
        """Make the first contact, which may show us the server's own root; False if it was made."""
        if self._asked:
            return False
        _ = self._fetcher
        self._asked = True
        return True

    def _resolve(self, url: Source, **options: Any) -> tuple[Path | None, Miss]:
        fresh, miss = super()._resolve(url, **options)
        if fresh is None and self._meet():
            fresh, miss = super()._resolve(url, **options)
        if fresh is None:
            given, checksum, _known = miss
            wish = {
                "mirrors": given[1:],
                "checksum": checksum,
                "max_age": options.get("max_age"),
                "revalidate": options.get("revalidate"),
            }
            cast("SharedFetcher | PullFetcher", self._fetcher).wish(given[0], wish)
        return fresh, miss

    def _choose(self, root: Root, index: URLIndex, config: Config) -> Fetcher:
        if self._rpc is None:
            made: SharedFetcher | PullFetcher = SharedFetcher(
                self._asker, self._resolver.indexes[0]
            )
        elif self._may_share:
            made = choose(root, index, config, self._rpc, self._share)
        else:
            made = PullFetcher(root, index, config, self._rpc)
        return cast("Fetcher", made)  # the same three methods

    def _share(self, shared: Root) -> None:
        """Search a root that is the server's own, too."""
        if shared.path != self.root.path:
            self._roots.insert(0, shared)
            self._resolver.indexes.insert(0, URLIndex(shared, read_only=True))
