"""The three calls of an old metastore, as its clients know them."""

from __future__ import annotations

import xmlrpc.client
from typing import TYPE_CHECKING, Any

from fscache.errors import RemoteError
from fscache.remote.cache import RemoteCache

if TYPE_CHECKING:
    from collections.abc import Iterable

_FAULT = 1  # the code that SimpleXMLRPCServer gives to every exception


class MissingKeyFault(xmlrpc.client.Fault, KeyError):  # noqa: N818 - it is a fault
    """A key that a server does not have: a fault for old clients, a KeyError for everybody."""

    def __init__(self) -> None:
        super().__init__(_FAULT, "<class 'KeyError'>:")

    def __reduce__(self) -> tuple[type[MissingKeyFault], tuple[()]]:
        return type(self), ()


class RemoteMetastore:
    """`get`, `put` and `multiget` on a server, fscache's or an old one's."""

    def __init__(self, addr: str, port: int | None = None) -> None:
        """Use a server; nothing is sent before the first call.

        Args:
            addr: Its host, with a token if it wants one: `token:SECRET@host`.
            port: Its port, 8077 by default.

        Raises:
            ConfigError: the address names no server.
        """
        self._rpc = RemoteCache(addr, port).rpc

    def get(self, key: str) -> Any:
        """Return a key's value; raises a fault that is a KeyError."""
        return self._call("get", key)

    def put(self, key: str, value: object) -> bool:
        """Keep a value; returns True."""
        done: bool = self._call("put", key, value)
        return done

    def multiget(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return many values in one request; raises the same fault if any key is missing."""
        found: dict[str, Any] = self._call("multiget", list(keys))
        return found

    def _call(self, method: str, *params: object) -> Any:
        try:
            return self._rpc(method, *params, plain=True)  # it may be an old one
        except RemoteError as exc:
            # A fault without our fields, as an original server of either Python words it too.
            if "KeyError" in exc.why:
                raise MissingKeyFault from None
            raise
