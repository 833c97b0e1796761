"""One server: its parts put together, started and stopped in the right order.

Started: tokens, port, then everything that looks at the root; the port listens before the first scan.
Stopped: no new requests; who waits is told to try again; transfers are parked (their partial files and
spool files stay); answers under way are sent; the port is closed.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Protocol, cast

from fscache import config as configuration
from fscache.admin.room import room_maker
from fscache.cache import Cache
from fscache.errors import ConfigError
from fscache.records.root import translated
from fscache.server import beacon, figures, metrics, page
from fscache.server.admin import AdminCalls
from fscache.server.app import App
from fscache.server.auth import Tokens
from fscache.server.blobs import Blobs
from fscache.server.board import Board
from fscache.server.calls import Calls
from fscache.server.jobs import Jobs
from fscache.server.keeper import Keeper
from fscache.server.kv import Stores, Values
from fscache.server.kvcalls import KVCalls
from fscache.server.limits import RateLimiter
from fscache.server.listener import Listener, bind
from fscache.server.metastore import Metastore
from fscache.server.policy import InForce, policy_of
from fscache.server.preconditions import Preconditions
from fscache.server.pulls import Pulls
from fscache.server.renewal import Renewable
from fscache.server.rpc import Methods
from fscache.server.spool import NEW, Spool
from fscache.server.sql import Queries
from fscache.server.tasks import TaskCalls
from fscache.server.tls import Certificate
from fscache.server.watch import Watch
from fscache.server.watches import Watches
from fscache.urls.destination import CacheDestination
from fscache.urls.fetcher import Fetcher, transports_of
from fscache.urls.index import URLIndex

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from fscache.config import Config
    from fscache.records.root import Root
    from fscache.server.app import Routes
    from fscache.server.connection import Request, Response
    from fscache.server.queries import Run
    from fscache.server.rpc import Method
    from fscache.server.settings import Settings
    from fscache.urls.destination import SpaceReservation


RELOADED = frozenset(
    {
        *("allow_hosts", "allow_networks", "allow_private", "deny_hosts", "mirrors"),
        *("attempts", "connect_timeout", "per_host", "stall_timeout", "workers"),
        *("ca_file", "http_proxy", "https_proxy", "no_proxy"),
        *("grace", "low_water", "max_size", "min_free"),
        *("credentials_directory", "keyring_hosts", "netrc"),
        *("server", "token", "token_file"),  # not the daemon's own at all
    }
)
"""The settings that a reload takes over."""


class _Routed(Protocol):
    """What answers plain HTTP."""

    def routes(self) -> Routes:
        """Return what it answers; see `App`."""


class _Called(Protocol):
    """What answers XML-RPC."""

    def methods(self) -> list[Method]:
        """Return what can be called."""


class Server:
    """A data server over one root."""

    def __init__(
        self,
        config: Config,
        settings: Settings,
        *,
        sock: socket.socket | None = None,
        now: Callable[[], float] = time.time,  # noqa: TID251 - the default of the injected clock
        run: Callable[[Cache], Run] | None = None,
    ) -> None:
        """Bind the port and read the tokens; nothing is answered before `start`.

        Args:
            config: Of the cache.
            settings: Of the server.
            sock: A listening socket that was handed to us.
            now: The clock, seconds since the epoch.
            run: Makes what runs SQL queries on our cache; none are answered without.

        Raises:
            ConfigError: a setting cannot be used, or the port cannot be had.
            StoreError: the root cannot be used.
        """
        self._config = config
        self._settings = settings
        self._stop = threading.Event()
        stopping = self._stop.is_set
        self._guard = InForce(policy_of(config))
        self._stager: Renewable | None = None
        self.cache = Cache(config.root, config=config, now=now, fetcher=self._fetcher)
        root = self.cache.root
        with translated(root.path):
            root.ensure()
        self._tokens = Tokens(
            settings.token_file or f"{root.path}/tokens",
            anonymous_kv=settings.anonymous_kv,
            handed=settings.token_handed,
        )
        self._certificate = Certificate(settings)
        self._spool = Spool(root)
        self._spool.ensure()
        self.board = Board(self.cache, self._spool, now=now, stopping=stopping)
        self._preconditions = Preconditions(root, self.board.request, stopping)
        self._space = _space(root, config)
        blobs = Blobs(self.cache, reserve=self._reserve, limit=settings.limits.upload)
        stores = Stores(root)
        self._survey = figures.Survey(self.cache, now)
        calls: tuple[_Called, ...] = (
            Calls(
                self.cache, self.board, self._preconditions, now=now, identity=beacon.light(root)
            ),
            AdminCalls(self.cache, self.board, Jobs(stopping)),
            Metastore(stores),
            KVCalls(stores),
            Watches(stores, stopping),
            TaskCalls(self.cache, stopping),
        )
        self._queries = None if run is None else Queries(run(self.cache), settings.limits)
        pages: tuple[_Routed, ...] = (
            blobs,
            Pulls(self.cache, self.board, blobs, now=now),
            Values(stores, settings.limits.value),
            *([] if self._queries is None else [self._queries]),
        )
        self._app = App(
            tokens=self._tokens,
            limiter=RateLimiter(settings.limits, time.monotonic),
            limits=settings.limits,
            methods=Methods([method for each in calls for method in each.methods()]),
            routes={
                ("GET", "metrics"): self._metrics,
                ("GET", ""): self._page,
                **{key: route for each in pages for key, route in each.routes().items()},
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
            listening,
            self._app,
            tls=self._certificate.context,
            idle=settings.idle,
            stall=settings.stall,
        )
        self._keeper = Keeper(
            self._spool,
            self.board,
            self._take_stock,
            self._away,
            scan_interval=settings.scan_interval,
        )
        self._watch = Watch(f"{self._spool.path}/{NEW}", self._keeper.wake)

    @property
    def url(self) -> str:
        """Where the server answers."""
        host, port = self._listener.address
        scheme = "http" if self._certificate.context is None else "https"
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
        if self._queries is not None:
            self._queries.close()
        self._preconditions.close()
        self.board.close()
        self._keeper.stop()
        self.cache.close()
        self._listener.stop(self._settings.grace)

    def reload(self, config: Config) -> list[str]:
        """Read tokens and certificate again, and take the settings of `config` that can change.

        Transfers under way end as they began; all others go by the new settings.

        Returns:
            The settings that are other than at the start and hold from the next one on.

        Raises:
            ConfigError: something cannot be used; everything is as it was.
        """
        policy = policy_of(config)
        self._certificate.check()
        self._tokens.reload()
        self._certificate.reload()
        self._guard.policy = policy
        root = self.cache.root
        root.make_room = room_maker(root, config)
        self._space = _space(root, config)
        if self._stager is not None:
            self._stager.renew(config)
        before, self._config = self._config, config
        changed = {name for name, _, _ in config.explain() if config.get(name) != before.get(name)}
        return sorted(changed - RELOADED)

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

    def _take_stock(self) -> None:
        """Do what the keeper does every few minutes."""
        if self._queries is not None:
            self._queries.sweep()  # by itself: else the last rows stay until somebody asks again
        self._survey.take()

    def _reserve(self, name: str, size: int) -> SpaceReservation:
        return self._space.reserve(name, size)

    def _away(self) -> str | None:
        if self._stop.is_set():
            return "stopping"
        return None if os.path.exists(f"{self.cache.root.path}/FORMAT") else "the root is gone"

    def _page(self, _request: Request, _rest: str) -> Response:
        return page.respond(self.figures())

    def _metrics(self, _request: Request, _rest: str) -> Response:
        return metrics.respond(self.figures())

    def _fetcher(self, root: Root, index: URLIndex, _config: Config) -> Fetcher:
        def make(settings: Config) -> Fetcher:
            return Fetcher(
                root,
                index,
                settings,
                transports=transports_of(settings, self._guard.check_address),
                target_policy=self._guard.check_url,
            )

        self._stager = Renewable(make, self._config)
        return cast("Fetcher", self._stager)  # the same methods


def load_config(root: str | None, workers: int | None, **flags: object) -> Config:
    """Return the settings with a command line's arguments on top; a flag not given is None."""
    return configuration.load(arguments={"root": root, "workers": workers, **flags})


def _space(root: Root, config: Config) -> CacheDestination:
    """Return what sets space aside for uploads."""
    return CacheDestination(
        root, URLIndex(root), max_size=config.max_size, make_room=root.make_room
    )
