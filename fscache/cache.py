"""`Cache`: everything that is kept, on one root of this machine.

What it does with URLs stands in `urls.face`; what a hit costs and when it is looked up anew, in
`urls.resolver`.
"""

from __future__ import annotations

import os
import time
from _thread import allocate_lock

from fscache import config as configuration
from fscache.objects.incoming import announced_size, readinto_of
from fscache.paths import as_path
from fscache.records.access import Accesses
from fscache.records.configured import configured_root, configured_tiers
from fscache.records.root import Root, translated
from fscache.urls.face import URLs
from fscache.urls.index import URLIndex
from fscache.urls.names import is_url, plain
from fscache.urls.resolver import Resolver

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Any, BinaryIO, Self

    from fscache.admin.face import Admin
    from fscache.config import Config
    from fscache.kv.local import LocalStore
    from fscache.tasks.backends import LocalTasks
    from fscache.tasks.needs import Needs, Preconditions
    from fscache.urls.batch import Bring, Recipe
    from fscache.urls.fetcher import Fetcher, Loan


class Cache(URLs):
    """One root, and read-only tiers before it."""

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        *,
        config: Config | None = None,
        now: Callable[[], float] = time.time,  # noqa: TID251 - the default of the injected clock
        fetcher: Callable[[Root, URLIndex, Config], Fetcher] | None = None,
    ) -> None:
        """Open a cache; nothing is written before something is kept.

        Args:
            root: Its directory, `~` for a home directory in it; from the configuration by default.
            config: Settings; from arguments, environment and files by default.
            now: The clock, seconds since the epoch.
            fetcher: Makes what brings missing URLs; the stager of this process by default.

        Raises:
            ConfigError: a setting cannot be used.
            NotACacheError: the directory holds something else.
            FormatError: the root was made by a newer version.
        """
        self.config = config or configuration.load()
        where = self.config.root if root is None else configuration.given_path("root", root)
        self._now = now
        self.root = configured_root(where, self.config, now)
        if self.config.max_size is not None or self.config.min_free is not None:
            from fscache.admin.room import room_maker

            self.root.make_room = room_maker(self.root, self.config)
        self._roots = [*configured_tiers(self.config.tiers, now), self.root]
        self._own = URLIndex(self.root)
        self._accesses = Accesses(self.root)
        self._resolver = Resolver(
            [*(URLIndex(tier, read_only=True) for tier in self._roots[:-1]), self._own],
            now=now,
            offline=self.config.offline,
        )
        self._fetcher_made: Fetcher | None = None
        self._kv: LocalStore | None = None
        self._tasks: tuple[LocalTasks, Needs] | None = None
        self._make_fetcher = fetcher
        self._making = allocate_lock()

    # -- objects ------------------------------------------------------------------------------

    def put(self, source: bytes | str | os.PathLike[str] | BinaryIO) -> str:
        """Keep bytes, the file at a path, or what an open binary file holds from here on.

        Returns:
            The address: 20 hex digits, with a slot (`-1`) in the rare case that it is taken.

        Raises:
            RootPermissionError, StoreFullError: it could not be written.
        """
        if isinstance(source, str | os.PathLike):
            with open(source, "rb", buffering=0) as file:
                return self.put(file)
        with translated(self.root.path):
            self.root.ensure()
            room, size = self.root.make_room, announced_size(source)
            if room is not None and size:
                room(size)
            objects = self.root.objects()
            if isinstance(source, bytes | bytearray | memoryview):
                stored = objects.put_bytes(bytes(source))
            else:
                stored = objects.put_stream(readinto_of(source))
            self.root.journal.append("put", "object", stored.address, stored.address, stored.size)
            if room is not None and not size:
                room(0)  # a pipe's bytes are known only now
        return stored.address

    def path(self, name: str) -> Path:
        """Return the path of an address or a URL that is here; never touches the network.

        Raises:
            NotCachedError: it is not here.
            InvalidAddressError: neither a URL nor 20 hex digits.
            TypeError: it is no text.
        """
        if is_url(name):
            found = self.lookup(name)
            if found is not None:
                return found
            name = plain(name)
        else:
            from fscache.objects.layout import parse_address

            address, slot = parse_address(name)
            for root in self._roots:
                path = root.objects().locate(address, slot)
                try:
                    status = os.stat(path)
                except OSError:
                    continue
                # A tier is never written to.
                if root is self.root and self._accesses.is_due(status):
                    self._accesses.touch("object", name, name, path, status)
                return as_path(path)
        # only now: importing the exception tree costs more than the hit
        from fscache.errors import NotCachedError
        from stager.urls import redact

        raise NotCachedError(name=redact(name))

    def entries(self) -> Iterator[dict[str, object]]:
        """Yield what is recorded of every URL of the root, as a mapping of columns."""
        for entry, path, status in self._own.scan():
            yield {
                "url": entry.url,
                "address": path[len(self.root.path) + 9 :].replace("/", ""),
                "size": entry.size,
                "accessed": None if status is None else status.st_atime,
                "fetched": entry.fetched_at,
                "staged_by": entry.staged_by,
            }

    # -- key-values ---------------------------------------------------------------------------

    @property
    def kv(self) -> LocalStore:
        """The key-values of the root: the store named `default`, and by its `store` all others."""
        if self._kv is None:
            from fscache.kv.local import LocalStore

            self._kv = LocalStore(self.root)
        return self._kv

    # -- administration -----------------------------------------------------------------------

    @property
    def admin(self) -> Admin:
        """What is here and what it takes, purging, pinning, verifying."""
        from fscache.admin.face import Admin

        return Admin(self.root, self.config, locate=self.path, fetch=self.get)

    # -- tasks --------------------------------------------------------------------------------

    @property
    def tasks(self) -> LocalTasks:
        """The task records of the root, or what the setting `tasks` says; see `fscache.tasks.face`."""
        if self._tasks is None:
            from fscache.tasks.backends import as_configured
            from fscache.tasks.needs import Needs

            with self._making:  # two threads must share one: each writes a log of its own
                if self._tasks is None:
                    needs = Needs(lambda url: self.prefetch([url])[0], self.wait_met)
                    made = as_configured(
                        *(self.root, self.config),
                        remove_objects=_remover(self.root),
                        resolve=needs.resolve,
                    )
                    self._tasks = made, needs
        return self._tasks[0]

    def met(self, name: str) -> None:
        """Declare a precondition met, for everybody and for ever; see `tasks.submit`."""
        self._preconditions.met(name)

    def wait_met(self, names: str | Sequence[str], timeout: float) -> list[str]:
        """Wait until all these preconditions are met, at most `timeout` s; return those that are."""
        return self._preconditions.wait(names, timeout)

    # -- life ---------------------------------------------------------------------------------

    def close(self) -> None:
        """Stop fetching, where partial files stay to be resumed, and running tasks."""
        tasks, self._tasks = self._tasks, None
        if tasks is not None:
            tasks[0].close()
            tasks[1].close()
        fetcher, self._fetcher_made = self._fetcher_made, None
        if fetcher is not None:
            fetcher.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        # Opened anew where it comes to, with the settings that hold there: secrets do not travel.
        return type(self), (self.root.path,)

    def __repr__(self) -> str:
        return f"Cache({self.root.path!r})"

    # -- inside -------------------------------------------------------------------------------

    @property
    def _can_have_helpers(self) -> bool:
        # What is given cannot be made anew in another process.
        return self._make_fetcher is None and self._now is time.time  # noqa: TID251 - compared

    def _lend(self, url: str, helpers: int) -> tuple[Loan, Recipe] | None:
        loan = self._fetcher.lend(url, helpers)
        if loan is None:
            return None
        values, sources = self.config.portable()
        # What fails there is tried here, as often as is configured.
        values.update(per_host=loan.share, attempts=1, token=None)
        return loan, (__name__, helping.__name__, self.root.path, values, sources, loan.home)

    @property
    def _preconditions(self) -> Preconditions:
        from fscache.tasks.needs import Preconditions

        return Preconditions(self.root)

    @property
    def _fetcher(self) -> Fetcher:
        if self._fetcher_made is None:
            from fscache.urls.fetcher import Fetcher

            with self._making:  # two threads that miss at once must share one
                if self._fetcher_made is None:
                    with translated(self.root.path):
                        self.root.ensure()
                    make = self._make_fetcher or Fetcher
                    self._fetcher_made = make(self.root, self._own, self.config)
        return self._fetcher_made


def _remover(root: Root) -> Callable[[Sequence[str]], object]:
    def remove(addresses: Sequence[str]) -> None:
        from fscache.admin.discard import discard

        discard(root, addresses)

    return remove


def helping(root: str, values: dict[str, object], sources: dict[str, str], home: str) -> Bring:
    """Return what fetches pieces of a `Batch` in another process, as a `Cache` of these settings."""
    from fscache.urls.batch import bringer
    from fscache.urls.fetcher import fetcher_for

    config = configuration.Config(values, sources)
    return bringer(Cache(root, config=config, fetcher=fetcher_for(home)))
