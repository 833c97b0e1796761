"""One server: its parts put together, started and stopped in the right order.

Started: tokens, port, then everything that looks at the root; the port listens before the first scan.
Stopped: no new requests; who waits is told to try again; transfers are parked (their partial files and
spool files stay); answers under way are sent; the port is closed.
"""

from __future__ import annotations

import os
import ssl
import threading
import time
from typing import TYPE_CHECKING

from fscache import config as configuration
from fscache.cache import Cache
from fscache.errors import ConfigError
from fscache.kv.local import LocalStore
from fscache.server import beacon, figures, metrics, page
from fscache.server.app import App
from fscache.server.auth import Tokens
from fscache.server.blobs import Blobs
from fscache.server.board import Board
from fscache.server.calls import Calls
from fscache.server.keeper import Keeper
from fscache.server.kv import KVService, Passing
from fscache.server.limits import RateLimiter
from fscache.server.listener import Listener, bind
from fscache.server.policy import policy_of
from fscache.server.preconditions import Preconditions
from fscache.server.pulls import Pulls
from fscache.server.rpc import Methods
from fscache.server.spool import NEW, Spool
from fscache.server.watch import Watch
from fscache.urls.destination import CacheDestination
from fscache.urls.fetcher import Fetcher
from fscache.urls.index import URLIndex
from stager.transports import default_transports

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from fscache.config import Config
    from fscache.records.root import Root
    from fscache.server.connection import Request, Response
    from fscache.server.policy import TargetPolicy
    from fscache.server.settings import Settings


class _Guard:
    """The target policy in force; a reload replaces it under the transfers' feet."""

    def __init__(self, policy: TargetPolicy) -> None:
        self.policy = policy

    def check_url(self, url: str) -> None:
        self.policy.check_url(url)

    def check_address(self, address: str) -> None:
        self.policy.check_address(address)


class Server:
    """A data server over one root."""

    def __init__(
        self,
        config: Config,
        settings: Settings,
        *,
        sock: socket.socket | None = None,
        now: Callable[[], float] = time.time,  # noqa: TID251 - the default of the injected clock
    ) -> None:
        """Bind the port and read the tokens; nothing is answered before `start`.

        Args:
            config: Of the cache.
            settings: Of the server.
            sock: A listening socket that was handed to us.
            now: The clock, seconds since the epoch.

        Raises:
            ConfigError: a setting cannot be used, or the port cannot be had.
            StoreError: the root cannot be used.
        """
        self._config = config
        self._settings = settings
        self._stop = threading.Event()
        stopping = self._stop.is_set
        self._guard = _Guard(policy_of(config))
        self.cache = Cache(config.root, config=config, now=now, fetcher=self._fetcher)
        root = self.cache.root
        root.ensure()
        self._tokens = Tokens(
            settings.token_file or f"{root.path}/tokens",
            anonymous_kv=settings.anonymous_kv,
            handed=settings.token_handed,
        )
        self._tls = _tls(settings)
        self._spool = Spool(root)
        self._spool.ensure()
        self.board = Board(self.cache, self._spool, now=now, stopping=stopping)
        self._preconditions = Preconditions(root, self.board.request, stopping)
        space = CacheDestination(root, URLIndex(root), max_size=config.max_size)
        blobs = Blobs(self.cache, reserve=space.reserve, limit=settings.limits.upload)
        pulls = Pulls(self.cache, self.board, blobs, now=now)
        calls = Calls(
            self.cache, self.board, self._preconditions, now=now, identity=beacon.light(root)
        )
        self._stores: dict[str, LocalStore] = {}
        kv = KVService(self._store, settings.limits.value)
        self._survey = figures.Survey(self.cache, now)
        self._app = App(
            tokens=self._tokens,
            limiter=RateLimiter(settings.limits, time.monotonic),
            limits=settings.limits,
            methods=Methods([*calls.methods(), *kv.methods()]),
            routes={
                ("GET", "objects"): blobs.get,
                ("PUT", "objects"): lambda request, _rest: blobs.put(request),
                ("GET", "urls"): pulls.get,
                ("GET", "kv"): kv.get,
                ("PUT", "kv"): kv.put,
                ("DELETE", "kv"): kv.delete,
                ("GET", "metrics"): self._metrics,
                ("GET", ""): self._page,
            },
            healthy=self.trouble,
            usable=self._away,
        )
        try:
            listening = sock or bind(settings.host, settings.port)
        except OSError as exc:
            where = f"{settings.host}:{settings.port}"
            raise ConfigError("port", where, exc.strerror or str(exc)) from exc
        self._listener = Listener(
            listening, self._app, tls=self._tls, idle=settings.idle, stall=settings.stall
        )
        self._keeper = Keeper(
            self._spool,
            self.board,
            self._survey.take,
            self._away,
            scan_interval=settings.scan_interval,
        )
        self._watch = Watch(f"{self._spool.path}/{NEW}", self._keeper.wake)

    @property
    def url(self) -> str:
        """Where the server answers."""
        host, port = self._listener.address
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    def start(self) -> None:
        """Answer from now on."""
        self._listener.start()
        self._keeper.start()
        if self._settings.watch:
            self._watch.start()

    def stop(self) -> None:
        """Stop; see the module's docstring for the order."""
        self._stop.set()
        self._watch.stop()
        self._preconditions.close()
        self.board.close()
        self._keeper.stop()
        self.cache.close()
        self._listener.stop(self._settings.grace)

    def reload(self, config: Config) -> None:
        """Read tokens and certificate again, and take the target policy of `config`.

        Raises:
            ConfigError: one of them cannot be used; the others are in force.
        """
        self._tokens.reload()
        self._guard.policy = policy_of(config)
        if self._tls is not None:
            _load_certificate(self._tls, self._settings)

    @property
    def alive(self) -> bool:
        """Whether connections are accepted and the keeper makes its turns."""
        return self._listener.alive and self._keeper.alive

    def trouble(self) -> str | None:
        """Return what keeps this server from its work, None for nothing."""
        return self._away() or (None if self._keeper.alive else "the keeper is stuck")

    def figures(self) -> figures.Figures:
        """Return what the status page and the metrics show."""
        return figures.collect(
            self.board, self._survey, self._listener, self._app, trouble=self.trouble()
        )

    def _store(self, name: str) -> LocalStore:
        store = self._stores.get(name)
        if store is None:
            # One for all connections, whichever thread was first: it remembers recent values.
            made = LocalStore(self.cache.root, name, serializer=Passing)
            store = self._stores.setdefault(name, made)
        return store

    def _away(self) -> str | None:
        if self._stop.is_set():
            return "stopping"
        return None if os.path.exists(f"{self.cache.root.path}/FORMAT") else "the root is gone"

    def _page(self, _request: Request, _rest: str) -> Response:
        return page.respond(self.figures())

    def _metrics(self, _request: Request, _rest: str) -> Response:
        return metrics.respond(self.figures())

    def _fetcher(self, root: Root, index: URLIndex, config: Config) -> Fetcher:
        return Fetcher(
            root,
            index,
            config,
            transports=default_transports(check_address=self._guard.check_address),
            target_policy=self._guard.check_url,
        )


def load_config(root: str | None, workers: int | None, **flags: object) -> Config:
    """Return the settings with a command line's arguments on top; a flag not given is None."""
    return configuration.load(arguments={"root": root, "workers": workers, **flags})


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if settings.tls_cert is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load_certificate(context, settings)
    return context


def _load_certificate(context: ssl.SSLContext, settings: Settings) -> None:
    certificate = settings.tls_cert or ""
    try:
        context.load_cert_chain(certificate, settings.tls_key)
    except (OSError, ssl.SSLError) as exc:
        raise ConfigError("tls_cert", certificate, str(exc)) from exc
