"""Everything else (`s3 gs sftp hf …`) through fsspec, where it and the protocol's package are there.

fsspec keeps its own connections and looks for credentials in its own places; the stager's are for
HTTP and FTP. Addresses cannot be checked, so a daemon that has to check them offers none of these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stager.errors import (
    AuthenticationError,
    ConnectionFailedError,
    HTTPStatusError,
    InvalidURLError,
    NotFoundError,
)
from stager.transports import STORES
from stager.transports.plain import Thing, answer
from stager.urls import redact

if TYPE_CHECKING:
    from collections.abc import Callable

    from stager.transports.base import Ask, Sink

STEP = 4 << 20
"""Bytes read at a time: most of these stores answer each read with a request of its own."""


class FsspecTransport:
    """Whatever fsspec knows."""

    schemes = STORES

    def fetch(self, ask: Ask, sink: Sink) -> None:
        """Fetch one file; see `Transport`."""
        system, path = _guarded(ask, _find, ask)
        thing = _guarded(ask, _look, system, path, ask)
        head, first = answer(ask.headers, thing)
        if not sink.on_head(head):
            return
        file = _guarded(ask, system.open, path, "rb")
        try:
            if first:
                _guarded(ask, file.seek, first)
            while data := _guarded(ask, file.read, STEP):
                sink.on_data(data)
        finally:
            file.close()

    def close(self) -> None:
        """Nothing is kept here; fsspec keeps its own."""


def _find(ask: Ask) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    system, path = url_to_fs(ask.url)
    system.invalidate_cache()  # a listing from before the last change is no news
    return system, path


def _look(system: Any, path: str, ask: Ask) -> Thing:
    status = system.info(path)
    if status.get("type") == "directory":
        raise HTTPStatusError(redact(ask.url), 400, "it is a directory")
    return Thing(status.get("size"), f'"{system.ukey(path)}"')


def _guarded(ask: Ask, call: Callable[..., Any], *arguments: Any) -> Any:
    """Call into fsspec; every store behind it has exceptions of its own."""
    shown = redact(ask.url)
    scheme = ask.url.partition(":")[0]
    try:
        return call(*arguments)
    except HTTPStatusError:
        raise
    except ImportError as error:
        why = f"{scheme}: needs fsspec and the package for it ({error})"
        raise InvalidURLError(shown, why) from None
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(shown, 404, "the store does not have it") from None
    except PermissionError:
        raise AuthenticationError(shown, 403, "the store refuses access") from None
    except Exception as error:  # noqa: BLE001 - see above
        why = f"the store failed ({type(error).__name__})"
        raise ConnectionFailedError(shown, why) from None
