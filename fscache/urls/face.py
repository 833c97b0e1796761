"""`URLs`: the files behind URLs, as every cache hands them out.

A cache says where it looks (`_resolver`), what brings the rest (`_fetcher`), and what is to be asked for
first; all else stands here. A hit needs no network, no server, no lock, and none of the modules that
fetching needs.
"""

from __future__ import annotations

from fscache.paths import as_path
from fscache.records.root import translated
from fscache.urls.names import plain
from fscache.urls.resolver import urls_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path
    from typing import Any, BinaryIO

    from credentials.model import Credential
    from fscache.records.root import Root
    from fscache.urls.batch import Recipe
    from fscache.urls.fetcher import Fetcher, Loan
    from fscache.urls.index import Hit, URLIndex
    from fscache.urls.resolver import Miss, Resolver, Source
    from stager.request import FetchRequest


class URLs:
    """The files behind URLs."""

    root: Root
    _own: URLIndex
    """The root's entries."""
    _resolver: Resolver

    @property
    def _fetcher(self) -> Fetcher:
        raise NotImplementedError

    @property
    def _can_have_helpers(self) -> bool:
        """Whether other processes could fetch as this cache does; see `urls.batch`."""
        return False

    def _lend(self, url: str, helpers: int) -> tuple[Loan, Recipe] | None:
        """Lend connections to a URL's host to up to so many helpers, and say what makes each.

        None where there are to be none.
        """
        raise NotImplementedError

    def _resolve(self, url: Source, **options: Any) -> tuple[Path | None, Miss]:
        """Return the path of what may be handed out, or what has to be asked for."""
        return self._resolver.resolve(url, **options)

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
        timeout: float | None = None,
        **options: Any,
    ) -> list[Path]:
        """Return the paths of many URLs, in their order; those missing are fetched side by side.

        Args:
            urls: URLs, or lists of mirrors.
            progress: True draws bars on a terminal; a callable is called with the requests.
            checksums: `algorithm:hex` by URL.
            timeout: The longest wait for all of them, in s; the fetches go on.
            options: As for `prefetch`.

        Raises:
            FscacheError: the first that failed, in the order of `urls`, once all have ended.
            TimeoutError: `timeout` passed.
        """
        if timeout == float("inf"):
            timeout = None  # no lock waits for that long
        urls = [urls] if isinstance(urls, str) else list(urls)
        if self._can_have_helpers and timeout is None and not progress and not options:
            from fscache.urls.batch import Batch, can_be_told, is_long

            if is_long(urls) and can_be_told(sums := _sums(urls, None, checksums)):
                return Batch(self, urls, sums).paths()
        requests = self.prefetch(urls, checksums=checksums, **options)
        if progress:
            from fscache.urls.progress import follow

            follow(requests, None if progress is True else progress, timeout=timeout)
            timeout = None if timeout is None else 0.0
        from concurrent.futures import wait

        # One wake-up for all: waiting for each in turn wakes this thread thousands of times, and
        # every time it takes the interpreter from the thread that fetches.
        pending = wait(requests, timeout).not_done
        if pending:
            raise TimeoutError(f"{len(pending)} of {len(requests)} URLs are not here yet")
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
        checksum: str | None = None,
        checksums: Mapping[str, str] | None = None,
        max_age: float | None = None,
        revalidate: bool = False,
        offline: bool | None = None,
        verify: bool = False,
        credential: Credential | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> list[FetchRequest]:
        """Start fetching what is missing and return at once.

        Args:
            urls: URLs, or lists of mirrors; one URL by itself is taken for a list of one.
            checksum: As for `get`, of every URL.
            checksums: Instead, `algorithm:hex` by URL; a URL that is not there has `checksum`.
            max_age: As for `get`.
            revalidate: As for `get`.
            offline: As for `get`.
            verify: As for `get`.
            credential: As for `get`.
            headers: As for `get`.

        Returns:
            One request for each URL, in order: futures whose result is the path, with `progress`,
            `state` and a `cancel` that also works while running. What is wrong with one URL is the
            error of its request.

        Raises:
            ValueError: `checksums` has a URL that is not asked for, and none for one that is.
        """
        from fscache.urls.fetcher import settled
        from stager.request import FetchRequest

        wanted = [urls_of(url) for url in ([urls] if isinstance(urls, str) else urls)]
        outcomes = self._start(
            wanted,
            _sums(wanted, checksum, checksums),
            credential=credential,
            headers=headers,
            max_age=max_age,
            revalidate=revalidate,
            offline=offline,
            verify=verify,
        )
        return [
            outcome if isinstance(outcome, FetchRequest) else settled(mirrors[0], outcome)
            for mirrors, outcome in zip(wanted, outcomes, strict=True)
        ]

    def _start(
        self,
        wanted: Sequence[list[str]],
        sums: Sequence[str | None],
        *,
        credential: Credential | None = None,
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> list[Path | Exception | FetchRequest]:
        """Return the path of each URL that is here, its error, or the request that was begun."""
        outcomes: list[Path | Exception | FetchRequest | None] = []
        misses = []
        for mirrors, checksum in zip(wanted, sums, strict=True):
            outcome: Path | Exception | None
            try:
                outcome, miss = self._resolve(mirrors, checksum=checksum, **options)
            except Exception as exc:  # noqa: BLE001 - one bad URL must not lose the others' requests
                outcome = exc
            else:
                if outcome is None:
                    misses.append(miss)
            outcomes.append(outcome)
        # In one go: the stager takes many small files by another road than a few.
        submitted = iter(
            self._fetcher.submit(misses, credential=credential, headers=headers) if misses else ()
        )
        return [next(submitted) if outcome is None else outcome for outcome in outcomes]

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


def _sums(
    urls: Sequence[Source], checksum: str | None, checksums: Mapping[str, str] | None
) -> list[str | None]:
    """Return the checksum of each URL; arguments as of `prefetch`."""
    if checksums is None:
        return [checksum] * len(urls)
    from fscache.urls.sums import matched

    return matched(checksums, [urls_of(url)[0] for url in urls], checksum)
