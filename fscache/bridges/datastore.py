"""The names that users of park's datastore know, on today's cache.

`FileCache` is a mapping from URL to the path of its bytes; `urlcache` is the one at `URL_CACHE_PATH`;
`FetchService` fetches ahead in threads and hands out `FetchRequest`s; `config(key, missing)` reads a
setting. All of them are also names of `fscache` itself.

Promised is the behaviour those names suggest, no more: `fscache.Cache` is what new programs use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fscache import config
from fscache.cache import Cache
from stager.request import FetchRequest

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from types import TracebackType
    from typing import Any, Self

__all__ = ["URL_CACHE_PATH", "FetchRequest", "FetchService", "FileCache", "config", "urlcache"]


class FileCache:
    """URL → path of its bytes, below one directory."""

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        """Use the cache at `path`, by default at `URL_CACHE_PATH`."""
        self.cache = Cache(path)

    def get(self, url: str, **options: Any) -> Path:
        """Return the path of a URL's bytes, fetching them if need be; see `Cache.get`."""
        return self.cache.get(url, **options)

    def __getitem__(self, url: str) -> Path:
        return self.cache.get(url)

    def __contains__(self, url: str) -> bool:
        return self.cache.lookup(url) is not None

    def __delitem__(self, url: str) -> None:
        if not self.cache.forget(url):
            raise KeyError(url)

    def __iter__(self) -> Iterator[str]:
        return (str(row["url"]) for row in self.cache.entries())

    def __len__(self) -> int:
        return sum(1 for _ in self)


class FetchService:
    """Fetches URLs into a cache in the background."""

    def __init__(self, cache: FileCache | Cache | None = None) -> None:
        """Fetch into `cache`, by default the one at `URL_CACHE_PATH`."""
        self.cache = cache.cache if isinstance(cache, FileCache) else cache or Cache()

    def fetch(self, urls: str | Iterable[str], **options: Any) -> list[FetchRequest]:
        """Start fetching and return one request for each URL; see `Cache.prefetch`."""
        return self.cache.prefetch([urls] if isinstance(urls, str) else urls, **options)

    def stop(self) -> None:
        """Stop; what is under way can be resumed."""
        self.cache.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


URL_CACHE_PATH = config.load().root
"""Where `urlcache` keeps its files."""

urlcache = FileCache(URL_CACHE_PATH)
"""The `FileCache` at `URL_CACHE_PATH`."""
