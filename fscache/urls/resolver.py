"""What may be handed out for a URL as it is: memory first, then tiers and root, then freshness.

A hit that was handed out before costs one `stat` more than a look into a dict; it is looked up anew
once a second, so what another process forgot or fetched again is seen within that time.
"""

from __future__ import annotations

import os

from fscache.paths import as_path
from fscache.urls import freshness
from fscache.urls.names import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import NoReturn

    from fscache.urls.entry import URLEntry
    from fscache.urls.index import Hit, URLIndex

    Source = str | list[str] | tuple[str, ...]
    Miss = tuple[list[str], str | None, URLEntry | None]
    """URL and mirrors; the checksum asked for; what is here and only has to be asked about."""

_RECHECK = 1.0  # seconds for which a hit in memory is not looked up anew
_REMEMBERED = 100_000  # hits; about 60 MB at most


class _Remembered:
    """A hit as it was handed out last."""

    __slots__ = ("inode", "mtime_ns", "path", "since", "size", "text", "until")

    def __init__(self, hit: Hit, path: Path, now: float) -> None:
        self.text = hit.path
        self.path = path
        self.inode = hit.status.st_ino
        self.size = hit.status.st_size
        self.mtime_ns = hit.status.st_mtime_ns
        self.since = now
        self.until = now + _RECHECK


class Resolver:
    """Resolves URLs over a list of roots."""

    __slots__ = ("_memory", "_now", "_offline", "indexes")

    def __init__(self, indexes: list[URLIndex], *, now: Callable[[], float], offline: bool) -> None:
        """Search `indexes` in their order: the read-only tiers, and the own root as the last."""
        self.indexes = indexes
        self._now = now
        self._offline = offline
        self._memory: dict[str, _Remembered] = {}

    def remembered(self, url: str) -> Path | None:
        """Return what was handed out for this very URL a moment ago, if it is still the same file."""
        known = self._memory.get(url)
        if known is None or not known.since <= self._now() < known.until:
            return None
        try:
            status = os.stat(known.text)
        except OSError:
            return None
        if (
            status.st_ino == known.inode
            and status.st_mtime_ns == known.mtime_ns
            and status.st_size == known.size
        ):
            return known.path
        return None

    def resolve(
        self,
        url: Source,
        *,
        checksum: str | None = None,
        max_age: float | None = None,
        revalidate: bool = False,
        offline: bool | None = None,
        verify: bool = False,
    ) -> tuple[Path | None, Miss]:
        """Return the path of what may be handed out as it is, None if it has to be asked for.

        Options and errors are those of `Cache.get`.
        """
        given = urls_of(url)
        if max_age is not None and not isinstance(max_age, int | float):
            raise TypeError(f"max_age is a number of seconds, not {max_age!r}")
        wanted = None
        if checksum is not None:
            from stager.checks import parse_checksum

            promise = parse_checksum(checksum)
            wanted = (promise.algorithm, promise.expected)
        hit, own = self.find([plain(each) for each in given], verify=verify, checksum=wanted)
        action = freshness.decide(
            cached=hit is not None,
            checked_at=hit.entry.checked_at if hit is not None else 0.0,
            now=self._now(),
            max_age=max_age,
            revalidate=revalidate,
            offline=self._offline if offline is None else offline,
        )
        if action == freshness.HIT and hit is not None:
            return self._remember(given[0], hit), (given, checksum, None)
        if action == freshness.REFUSE:
            self._refuse(given, wanted)
        # What a tier holds is not ours to call current: fetch it into the own root instead.
        return None, (given, checksum, hit.entry if hit is not None and own else None)

    def _refuse(self, given: list[str], wanted: tuple[str, str] | None) -> NoReturn:
        from fscache.errors import ChecksumError, OfflineError
        from stager.urls import redact

        url = plain(given[0])
        name = redact(url)
        if wanted is not None:
            algorithm, expected = wanted
            for index in self.indexes:
                hit = index.find(url)
                actual = None if hit is None else index.checksum(hit, algorithm)
                if actual is not None:
                    raise ChecksumError(name, algorithm, expected, actual)
        raise OfflineError(name=name)

    def find(
        self,
        urls: Sequence[str],
        *,
        verify: bool = False,
        checksum: tuple[str, str] | None = None,
    ) -> tuple[Hit | None, bool]:
        """Return the first hit of any mirror in any root, and whether it lies in the own one."""
        for index in self.indexes:
            for url in urls:
                hit = index.find(url, verify=verify)
                if hit is not None and (
                    checksum is None or index.checksum(hit, checksum[0]) == checksum[1]
                ):
                    return hit, index is self.indexes[-1]
        return None, False

    def drop(self, *urls: str) -> None:
        """Take URLs out of memory."""
        for url in urls:
            self._memory.pop(url, None)

    def _remember(self, url: str, hit: Hit) -> Path:
        known = self._memory.get(url)
        # The same path object again and again: making one costs more than the hit.
        path = known.path if known is not None and known.text == hit.path else as_path(hit.path)
        if len(self._memory) >= _REMEMBERED:
            self._memory.clear()
        self._memory[url] = _Remembered(hit, path, self._now())
        return path


def urls_of(source: object) -> list[str]:
    """Return a URL and its mirrors; raises TypeError for what is neither a URL nor such a list."""
    if isinstance(source, str):
        return [source]
    urls = list(source) if isinstance(source, list | tuple) else []
    if not urls or not all(isinstance(each, str) for each in urls):
        raise TypeError(f"a URL, or a list of mirrors, is wanted, not {source!r}")
    return urls
