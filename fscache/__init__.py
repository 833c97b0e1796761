"""fscache: one directory that a lab's programs share.

The files behind URLs, key-values and task records, as plain files under their hashes; fetched once,
verified once, readable by every node.

    import fscache

    path = fscache.get("https://host/data.nc", checksum="sha256:…")
    fscache.kv.put("run_42/loss", 0.17)

The functions here use one default `Cache`, made from the configuration when first needed; `Cache` and
`RemoteCache` have the same methods on a root or server of your choice. Importing this module imports
nothing but `os` and `sys`: what a call needs is loaded when it is called.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
    from contextlib import AbstractContextManager
    from pathlib import Path
    from typing import Any, BinaryIO

    from fscache.cache import Cache
    from fscache.urls.resolver import Source
    from stager.request import FetchRequest

__version__ = "0.1.0"

_cache: Cache | None = None


def default() -> Cache:
    """Return the cache that the functions of this module use."""
    global _cache  # noqa: PLW0603 - the one process-wide default
    if _cache is None:
        from fscache import config

        settings = config.load()
        if settings.server is None:
            from fscache.cache import Cache

            _cache = Cache(config=settings)
        else:
            from fscache.remote.cache import RemoteCache

            _cache = RemoteCache(config=settings)
    return _cache


def use_remote(server: str, port: int | None = None, *, token: str | None = None) -> None:
    """From here on, have the functions of this package go to a data server.

    Args:
        server: `host`, `host:port`, `https://host:port`, `token:SECRET@host`, or
            `spool:/path/of/its/root` where there is no network between.
        port: Where `server` names none; 8077 by default.
        token: Where `server` names none; `FSCACHE_TOKEN` or `FSCACHE_TOKEN_FILE` by default.

    Raises:
        ConfigError: that names no server.
    """
    global _cache
    from fscache.remote.cache import RemoteCache

    before, _cache = _cache, RemoteCache(server, port, token=token)
    if before is not None:
        before.close()


def get(url: Source, **options: Any) -> Path:
    """Return the path of a URL's bytes, verified; see `Cache.get` for options and errors."""
    return (_cache or default()).get(url, **options)


def get_many(urls: Iterable[Source], **options: Any) -> list[Path]:
    """Return the paths of many URLs; see `Cache.get_many`."""
    return default().get_many(urls, **options)


def prefetch(urls: Iterable[Source], **options: Any) -> list[FetchRequest]:
    """Start fetching and return the requests; see `Cache.prefetch`."""
    return default().prefetch(urls, **options)


def open(url: Source, **options: Any) -> BinaryIO:  # noqa: A001 - the name users expect
    """Open a URL's bytes, leased while open; see `Cache.open`."""
    return default().open(url, **options)


def lease(url: Source, **options: Any) -> AbstractContextManager[Path]:
    """Keep a URL's object from being purged; see `Cache.lease`."""
    return default().lease(url, **options)


def lookup(url: str) -> Path | None:
    """Return a URL's path if it is here; see `Cache.lookup`."""
    return default().lookup(url)


def forget(url: str) -> bool:
    """Forget a URL; see `Cache.forget`."""
    return default().forget(url)


def put(source: bytes | str | os.PathLike[str] | BinaryIO) -> str:
    """Keep bytes or a file; return the address. See `Cache.put`."""
    return default().put(source)


def path(name: str) -> Path:
    """Return the path of an address or URL that is here; see `Cache.path`."""
    return default().path(name)


_LAZY = {
    "Cache": "fscache.cache",
    "RemoteCache": "fscache.remote.cache",
    "FetchRequest": "stager.request",
    "FileCache": "fscache.bridges.datastore",
    "FetchService": "fscache.bridges.datastore",
    "URL_CACHE_PATH": "fscache.bridges.datastore",
    "urlcache": "fscache.bridges.datastore",
    "sql": "fscache.grid.sql",
    "connect_sql": "fscache.grid.sql.dbapi",
}
_MODULES = ("config", "errors", "kv", "tasks")


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    if name in _MODULES:
        return import_module(f"fscache.{name}")
    raise AttributeError(f"module 'fscache' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, *_MODULES})
