"""The metastore module under its old names, on fscache's key-values.

    import fscache.bridges.metastore as metastore

    metastore.use_remote("head", 8077)      # or nothing: this machine's default cache
    metastore.put("foo", "bar")
    metastore.get("foo")

    $ python -m fscache.bridges.metastore [path] [port]

What programs rely on is as it was: `get_store` keeps the first path it was given; `use_remote` after a
store has been used is a RuntimeError; a missing key is a bare KeyError, from a server also an XML-RPC
fault; `multiget` raises if any key is missing; `put` returns True, the module's `put` nothing; numbers
come back as text, for they lay in a column of text. Keys are text, or numbers that become text.

Other than it was: lists and dicts, which SQLite refused, come back as they were. A path stands for a
directory, a cache of its own; where an SQLite file of the original lies at the path, its keys are
copied once into `<path>.fscache`, and the file stays as it is. Without a path it is the default cache
(the store that `fscache.kv` uses), unless the original's `<host>.sdb` lies in the working directory.
"""

from __future__ import annotations

import os
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from fscache.kv.local import LocalStore as KeyValues
DEFAULT_PORT = 8077


class LocalStore:
    """A store on this machine."""

    def __init__(self, datafile: str | os.PathLike[str] | None = None) -> None:
        """Open the store at a path; see the module for what a path stands for.

        Raises:
            StoreError, ConfigError: the path cannot be used.
        """
        self._kv = _open(datafile)

    def get(self, key: str) -> Any:
        """Return a key's value; raises KeyError."""
        try:
            return self._kv.get(_key(key))
        except KeyError:
            raise KeyError from None

    def put(self, key: str, value: object) -> bool:
        """Keep a value; returns True."""
        self._kv.put(_key(key), _value(value))
        return True

    def multiget(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return many values by key; raises KeyError if any is missing."""
        return {key: self.get(key) for key in keys}


class RemoteStore:
    """A store on a server: `get`, `put` and `multiget`, each one request."""

    def __init__(self, remote_addr: str, port: int | None = None) -> None:
        """Use a server; nothing is sent before the first call.

        Args:
            remote_addr: Its host, with a token if it wants one: `token:SECRET@host`.
            port: Its port, 8077 by default.
        """
        from fscache.remote.metastore import RemoteMetastore

        self._server = RemoteMetastore(remote_addr, port or DEFAULT_PORT)

    def get(self, key: str) -> Any:
        """Return a key's value; raises KeyError, which is also an XML-RPC fault."""
        return self._server.get(_key(key))

    def put(self, key: str, value: object) -> bool:
        """Keep a value; returns True."""
        return self._server.put(_key(key), _value(value))

    def multiget(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return many values in one request; raises as `get` if any key is missing."""
        return self._server.multiget([_key(key) for key in keys])


class MetaServer:
    """A server of one store, for old clients and new ones."""

    def __init__(
        self, datafile: str | os.PathLike[str] | None = None, port: int | None = None
    ) -> None:
        """Serve the store at a path; nothing listens before `serve`.

        Args:
            datafile: See the module.
            port: 8077 by default; 0 picks a free one.
        """
        self.port = DEFAULT_PORT if port is None else port
        self._path = _root_of(datafile)
        self.listening = threading.Event()
        """Set once `port` is the one that answers."""
        self._stop = threading.Event()

    def serve(self) -> None:
        """Listen on all addresses, say where, and answer until interrupted or shut down.

        As it always was, whoever reaches the port may call `get`, `put` and `multiget`. All else that
        fscache's server offers wants a token (`tokens` in the root).

        Raises:
            ConfigError: the port cannot be had.
        """
        from fscache import config
        from fscache.server.service import Server
        from fscache.server.settings import Settings

        settled = config.load(arguments={"root": self._path})
        server = Server(settled, Settings(host="0.0.0.0", port=self.port, anonymous_kv=True))  # noqa: S104 - as the docstring says
        server.start()
        self.port = int(server.url.rpartition(":")[2])
        self.listening.set()
        print(f"Serving the metastore on port {self.port}, use ctrl-c to quit", flush=True)  # noqa: T201
        try:
            self._stop.wait()
        finally:
            server.stop()

    def shutdown(self) -> None:
        """Have `serve` return; called from another thread."""
        self._stop.set()


_store: LocalStore | RemoteStore | None = None


def get_store(datafile: str | os.PathLike[str] | None = None) -> LocalStore | RemoteStore:
    """Return the store that the functions of this module use; only the first path counts."""
    global _store  # noqa: PLW0603 - the one process-wide store, as it was
    if _store is None:
        _store = LocalStore(datafile)
    return _store


def use_remote(addr: str, port: int | None = None) -> None:
    """Use a server's store from now on.

    Raises:
        RuntimeError: a store is in use already.
    """
    global _store  # noqa: PLW0603 - as above
    if _store is not None:
        raise RuntimeError(
            "already using a metastore; use the classes LocalStore and RemoteStore for several"
        )
    _store = RemoteStore(addr, port)


def get(key: str) -> Any:
    """Return a key's value; raises KeyError."""
    return get_store().get(key)


def put(key: str, value: object) -> None:
    """Keep a value."""
    get_store().put(key, value)


def multiget(keys: Iterable[str]) -> dict[str, Any]:
    """Return many values by key; raises KeyError if any is missing."""
    return get_store().multiget(keys)


def _key(key: object) -> str:
    if isinstance(key, str):
        return key
    from fscache.kv.sdb import as_column

    text = as_column(key)
    if not isinstance(text, str):
        raise TypeError(f"a key is text, not {type(key).__name__}")
    return text


def _value(value: object) -> object:
    if isinstance(value, int | float):
        from fscache.kv.sdb import as_column

        return as_column(value)
    return value


def _root_of(datafile: str | os.PathLike[str] | None) -> str | None:
    """Return the root that a path stands for, None for the default cache's."""
    from fscache.config import given_path
    from fscache.kv import sdb

    if datafile is None:
        datafile = f"{os.uname().nodename}.sdb"
        if not os.path.exists(datafile):
            return None
    path = given_path("root", datafile)
    if not sdb.is_sqlite(path):
        return path
    root = f"{path}.fscache"
    if not os.path.exists(root):
        _copy(path, root)
    return root


def _copy(source: str, root: str) -> None:
    """Make a root of an SQLite file's keys; it has its name when all are in it."""
    import errno
    import shutil

    from fscache.cache import Cache
    from fscache.fs import atomic
    from fscache.kv import sdb

    temp = f"{root}.{os.urandom(4).hex()}"
    try:
        Cache(temp).kv.multiput(sdb.read(source))
        atomic.move(temp, root)
    except OSError as exc:
        shutil.rmtree(temp, ignore_errors=True)
        if exc.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # another process was faster
            raise
    except BaseException:
        shutil.rmtree(temp, ignore_errors=True)
        raise


def _open(datafile: str | os.PathLike[str] | None) -> KeyValues:
    from fscache.cache import Cache

    root = _root_of(datafile)
    if root is None:
        return Cache().kv
    return Cache(root).kv


def main(arguments: list[str] | None = None) -> int:
    """Serve until interrupted; return the exit code: 2 where it cannot be begun."""
    import argparse
    import sys

    from fscache.errors import FscacheError

    parser = argparse.ArgumentParser(
        prog="python -m fscache.bridges.metastore",
        description="Serve a metastore to whoever reaches the port.",
    )
    parser.add_argument(
        "path",
        nargs="?",
        help="a cache's directory, or an SQLite file of the original, of which a copy is served "
        "(default: the default cache)",
    )
    parser.add_argument(
        "port",
        nargs="?",
        type=_port,
        default=DEFAULT_PORT,
        help="where to listen; 0 picks a free one (default: %(default)s)",
    )
    given = parser.parse_args(arguments)
    try:
        MetaServer(given.path, given.port).serve()
    except FscacheError as exc:
        sys.stderr.write(f"{parser.prog}: {exc}\n")
        return 2
    except KeyboardInterrupt:
        print()  # noqa: T201 - the shell's prompt begins a line
    return 0


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number < 65536:
        raise ValueError
    return number


_port.__name__ = "port"  # argparse names it: "invalid port value"

if __name__ == "__main__":
    raise SystemExit(main())
