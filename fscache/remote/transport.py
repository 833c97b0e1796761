"""The stager's transport of a node without a way to the origins: the server stages, we pull.

To the stager the server looks like each URL's origin: ranges, `If-Range` and `Repr-Digest` work as
they do elsewhere, so resuming, verifying and committing are the stager's own. What the server says
went wrong with the origin is final here: it has been tried again there.
"""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from fscache.errors import FscacheError, ServerUnreachableError
from stager.errors import ConnectionFailedError, StageError
from stager.request import Progress
from stager.transports.base import Head
from stager.urls import redact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fscache.remote.client import Client
    from fscache.remote.connection import Answer
    from fscache.remote.rpc import RPC
    from stager.transports.base import Ask, Sink

SCHEMES = frozenset({"http", "https", "ftp", "s3", "gs", "sftp", "hf"})
"""What a server may be asked for; it refuses what it has not installed."""

_RANGES = ("Range", "If-Range", "If-None-Match")
_FRESHNESS = ("If-None-Match", "If-Modified-Since")
_OWN = frozenset({"User-Agent", "Accept", "Accept-Encoding", *_RANGES, *_FRESHNESS})
_QUERY = {"mirrors": "mirror"}
_PARK = 1.0  # seconds between two looks at how far the server is, and at whether anybody waits


class ServerTransport:
    """Fetches every URL from one server."""

    schemes = SCHEMES

    def __init__(self, client: Client, rpc: RPC) -> None:
        """Ask through `client`; `rpc` is the same server's."""
        self._client = client
        self._rpc = rpc
        self._mutex = threading.Lock()
        self._wishes: dict[str, dict[str, object]] = {}

    def wish(self, url: str, wish: Mapping[str, object]) -> None:
        """Note what the server should know of a URL that is about to be fetched.

        Args:
            url: As the entry names it.
            wish: mirrors, checksum, max_age, revalidate; what is None is left out.
        """
        kept = {
            name: value
            for name, value in wish.items()
            if value is not None and value is not False and value != []
        }
        if kept:
            with self._mutex:
                self._wishes[url] = kept

    def must_be_fresh(self, url: str) -> bool:
        """Whether `wish` noted how fresh a URL has to be."""
        with self._mutex:
            return not self._wishes.get(url, {}).keys().isdisjoint(("max_age", "revalidate"))

    def forget_wish(self, url: str) -> None:
        """Drop what `wish` noted."""
        with self._mutex:
            self._wishes.pop(url, None)

    def fetch(self, ask: Ask, sink: Sink) -> None:
        """Perform one exchange; see `Transport`."""
        begun = False
        identity = ""

        def on_head(status: int, headers: Mapping[str, str]) -> bool:
            nonlocal begun
            begun = True
            return sink.on_head(Head(status, headers))

        try:
            options = self._options(ask)
            headers = {name: ask.headers[name] for name in _RANGES if name in ask.headers}
            path = f"/urls/{quote(ask.url, safe='')}"
            while True:
                query = urlencode({"park": _PARK, **options}, doseq=True)
                answer = self._client.stream(f"{path}?{query}", headers, on_head, sink.on_data)
                if begun:
                    return
                identity = options["request"] = self._wait(answer, sink)
        except ServerUnreachableError as exc:
            if not begun:
                raise
            raise ConnectionFailedError(redact(ask.url), exc.why) from exc
        except StageError as exc:
            if not begun:
                exc.relayed = True
            raise
        except BaseException:
            if identity and not begun:
                self._cancel(identity)  # whoever asked has given up
            raise

    def close(self) -> None:
        """Close this thread's connection."""
        self._client.close()

    def _wait(self, answer: Answer, sink: Sink) -> str:
        """Tell the sink how far the server is; return the id by which it knows the request."""
        try:
            status = json.loads(answer.body)
            progress = Progress(int(status["done"]), status["total"], float(status["rate"]))
            identity = str(status["id"])
        except (ValueError, KeyError, TypeError) as exc:
            why = f"its status cannot be read: {exc!r}"
            raise ServerUnreachableError(self._client.name, why) from exc
        sink.on_wait(progress)
        return identity

    def _cancel(self, identity: str) -> None:
        try:
            self._rpc("url.cancel", [identity])
        except FscacheError:
            pass  # then it is staged for nothing

    def _options(self, ask: Ask) -> dict[str, Any]:
        with self._mutex:
            wish = self._wishes.get(ask.url, {})
        options: dict[str, Any] = {_QUERY.get(name, name): value for name, value in wish.items()}
        if any(name in ask.headers for name in _FRESHNESS) and "max_age" not in options:
            options["revalidate"] = True
        sent = {name: value for name, value in ask.headers.items() if name not in _OWN}
        if not sent:
            return options
        # What the caller sends to the origin does not belong into a request line and its logs.
        mirrors = options.pop("mirror", [])
        (identity,) = self._rpc("url.stage", [[ask.url, *mirrors]], {**options, "headers": sent})
        return {"request": identity}
