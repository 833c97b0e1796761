"""`Cache`: everything that is kept, on one root of this machine.

A hit needs no network, no server, no lock, and none of the modules that fetching needs; what it costs
and when it is looked up anew is told in `urls.resolver`.
"""

from __future__ import annotations

import os
import time
from _thread import allocate_lock

from fscache import config as configuration
from fscache.objects.incoming import announced_size, readinto_of
from fscache.paths import as_path
from fscache.records.access import Accesses
from fscache.records.configured import configured_root
from fscache.records.root import Root, translated
from fscache.urls.index import URLIndex
from fscache.urls.names import plain
from fscache.urls.resolver import Resolver

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path
    from types import TracebackType
    from typing import Any, BinaryIO, Self

    from credentials.model import Credential
    from fscache.admin.face import Admin
    from fscache.config import Config
    from fscache.kv.local import LocalStore
    from fscache.tasks.backends import LocalTasks
    from fscache.tasks.needs import Needs, Preconditions
    from fscache.urls.fetcher import Fetcher
    from fscache.urls.index import Hit
    from fscache.urls.resolver import Miss, Source
    from stager.request import FetchRequest


class Cache:
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
            root: Its directory; from the configuration by default.
            config: Settings; from arguments, environment and files by default.
            now: The clock, seconds since the epoch.
            fetcher: Makes what brings missing URLs; the stager of this process by default.

        Raises:
            ConfigError: a setting cannot be used.
            NotACacheError: the directory holds something else.
            FormatError: the root was made by a newer version.
        """
        self.config = config or configuration.load()
        where = os.path.abspath(os.fspath(root)) if root is not None else self.config.root
        self._now = now
        self.root = configured_root(where, self.config, now)
        if self.config.max_size is not None or self.config.min_free is not None:
            from fscache.admin.room import room_maker

            self.root.make_room = room_maker(self.root, self.config)
        self._roots = [*(Root(tier, now=now) for tier in self.config.tiers), self.root]
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

    # -- URLs ---------------------------------------------------------------------------------

    def get(
        self,
        url: Source,
        *,
        checksum: str | None = None,
        max_age: float | None = None,
        revalidate: bool = False,
        offline: bool | None = None,
        verify: bool = False,
        credential: Credential | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Path:
        """Return the path of a URL's bytes, verified and read-only; fetch them if need be.

        Args:
            url: A URL, or a list of mirrors of the same bytes: the first names the entry.
            checksum: `algorithm:hex` that the bytes must have (any of hashlib's, `xxh3_128`, …).
            max_age: Ask the origin whether they are current if nobody has for this long, in s.
            revalidate: Ask the origin in any case.
            offline: Never touch the network; from the configuration by default.
            verify: Hash the bytes again, even if they are trusted.
            credential: For the URL's host, instead of what the credential chain would find.
            headers: Further request headers.
            timeout: The longest wait, in s; the fetch goes on.

        Returns:
            The path. It stays readable while open; hold a `lease` to keep the name.

        Raises:
            OfflineError: not here, and offline.
            StageError: it could not be fetched; see `fscache.errors` for the kinds.
            InvalidURLError, InvalidChecksumError: nothing that could be asked for.
            StoreError: the root cannot be written.
            TimeoutError: `timeout` passed.
        """
        if (
            checksum is None
            and max_age is None
            and not revalidate
            and not verify
            and type(url) is str
        ):
            known = self._resolver.remembered(url)
            if known is not None:
                return known
        fresh, miss = self._resolve(
            url,
            checksum=checksum,
            max_age=max_age,
            revalidate=revalidate,
            offline=offline,
            verify=verify,
        )
        if fresh is not None:
            return fresh
        (request,) = self._fetcher.submit([miss], credential=credential, headers=headers)
        path: Path = request.result(timeout)
        return path

    def get_many(
        self,
        urls: Iterable[Source],
        *,
        progress: bool | Callable[[list[FetchRequest]], None] = False,
        checksums: Mapping[str, str] | None = None,
        **options: Any,
    ) -> list[Path]:
        """Return the paths of many URLs, in their order; those missing are fetched side by side.

        Args:
            urls: URLs, or lists of mirrors.
            progress: True draws bars on a terminal; a callable is called with the requests.
            checksums: `algorithm:hex` by URL.
            options: As for `get`.

        Raises:
            FscacheError: the first that failed, in the order of `urls`, once all have ended.
        """
        requests = self.prefetch(urls, checksums=checksums, **options)
        if progress:
            from fscache.urls.progress import follow

            follow(requests, None if progress is True else progress)
        from concurrent.futures import wait

        # One wake-up for all: waiting for each in turn wakes this thread thousands of times, and
        # every time it takes the interpreter from the thread that fetches.
        wait(requests)
        failure: BaseException | None = None
        paths = []
        for request in requests:
            try:
                paths.append(request.result())
            except Exception as exc:  # noqa: BLE001 - whatever it is, the others' paths come first
                failure = failure or exc
        if failure is not None:
            raise failure
        return paths

    def prefetch(
        self,
        urls: Iterable[Source],
        *,
        checksums: Mapping[str, str] | None = None,
        credential: Credential | None = None,
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> list[FetchRequest]:
        """Start fetching what is missing and return at once.

        Args:
            urls: URLs, or lists of mirrors; one URL by itself is taken for a list of one.
            checksums: `algorithm:hex` by URL.
            credential: As for `get`.
            headers: As for `get`.
            options: As for `get`.

        Returns:
            One request for each URL, in order: futures whose result is the path, with `progress`,
            `state` and a `cancel` that also works while running.
        """
        from fscache.urls.fetcher import settled

        requests: list[FetchRequest | None] = []
        misses = []
        for url in [urls] if isinstance(urls, str) else urls:
            primary = url if isinstance(url, str) else url[0]
            if checksums is not None:
                options["checksum"] = checksums.get(primary)
            request = None
            try:
                fresh, miss = self._resolve(url, **options)
            except Exception as exc:  # noqa: BLE001 - one bad URL must not lose the others' requests
                request = settled(primary, error=exc)
            else:
                if fresh is None:
                    misses.append(miss)
                else:
                    request = settled(primary, path=fresh)
            requests.append(request)
        # In one go: the stager takes many small files by another road than a few.
        submitted = iter(
            self._fetcher.submit(misses, credential=credential, headers=headers) if misses else ()
        )
        return [request or next(submitted) for request in requests]

    def lookup(self, url: str) -> Path | None:
        """Return the path of a URL if it is here; never touches the network."""
        hit, _ = self._resolver.find([plain(url)])
        return None if hit is None else as_path(hit.path)

    def find(self, url: str) -> Hit | None:
        """Return what is recorded of a URL's object, if it is here; as `lookup` otherwise."""
        return self._resolver.find([plain(url)])[0]

    def forget(self, url: str) -> bool:
        """Forget a URL: its entry is removed, its object left to a purge. False if unknown."""
        name = plain(url)
        self._resolver.drop(name, url)
        if not self.root.exists:
            return False
        with translated(self.root.path):
            return self._own.forget(name)

    def open(self, url: Source, **options: Any) -> BinaryIO:
        """Return a URL's bytes as an open file, leased until it is closed; options as for `get`."""
        from fscache.urls.lease import open_leased

        return open_leased(lambda: self.get(url, **options))

    def lease(self, url: Source, **options: Any) -> AbstractContextManager[Path]:
        """`with cache.lease(url) as path:` — the object is not purged meanwhile."""
        from fscache.urls.lease import leased

        return leased(lambda: self.get(url, **options))

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
            # Of what does not say its size, whoever knows it has made the room: a server's upload.
            if self.root.make_room is not None and (size := announced_size(source)):
                self.root.make_room(size)
            objects = self.root.objects()
            if isinstance(source, bytes | bytearray | memoryview):
                stored = objects.put_bytes(bytes(source))
            else:
                stored = objects.put_stream(readinto_of(source))
            self.root.journal.append("put", "object", stored.address, stored.address, stored.size)
        return stored.address

    def path(self, name: str) -> Path:
        """Return the path of an address or a URL that is here; never touches the network.

        Raises:
            NotCachedError: it is not here.
            InvalidAddressError: neither a URL nor 20 hex digits.
        """
        if ":" in name:
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

    def wait_met(self, names: Sequence[str], timeout: float) -> list[str]:
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

    def _resolve(self, url: Source, **options: Any) -> tuple[Path | None, Miss]:
        """Return the path of what may be handed out, or what has to be asked for."""
        return self._resolver.resolve(url, **options)

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
