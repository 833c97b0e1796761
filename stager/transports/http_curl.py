"""HTTP through libcurl (`pycurl`): many exchanges from one thread. The other home of HTTP.

`requests` spends 600 µs of Python on a small file, libcurl's multi handle 40. It is driven by epoll
and `socket_action`, so that a wait costs nothing whatever the number of sockets, and another thread
can wake it. Switched off in libcurl is all that is decided elsewhere: redirects, proxies from the
environment, netrc, cookies, decoding, every protocol but HTTP; HTTP/1.1 only, as with `requests`.

One thing differs from `http_requests`: silence is noticed up to 6 s late, because libcurl's speed,
which must be under 1 byte/s for the stall timeout, is an average over 5 s.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pycurl

from stager.transports.curl_line import Line
from stager.transports.curl_loop import Loop

if TYPE_CHECKING:
    from collections.abc import Callable

    from stager.proxies import Proxy
    from stager.transports.base import Ask, Exchange, Sink


class CurlTransport:
    """`http:` and `https:`, many exchanges per thread."""

    schemes = frozenset({"http", "https"})

    def __init__(
        self,
        *,
        check_address: Callable[[str], None] | None = None,
        ca_file: str | None = None,
        proxy: Callable[[str], Proxy | None] | None = None,
    ) -> None:
        """Set up; opens nothing yet.

        Args:
            check_address: Called with the IP address before every connection; raises to refuse it.
            ca_file: Certificates to trust instead of the usual ones.
            proxy: Says which proxy a URL is fetched through.
        """
        self._check_address = check_address
        self._ca_file = ca_file
        self._proxy = proxy
        self._free: list[Line] = []
        self._loop: Loop | None = None
        self._turn = threading.Lock()

    def fetch(self, ask: Ask, sink: Sink) -> None:
        """Perform one exchange in this thread; see `Transport`."""
        line = self._line()
        line.begin(ask, sink)
        code = pycurl.E_OK
        try:
            line.curl.perform()
        except pycurl.error as error:
            code = error.args[0]
        failure = line.end(code)
        self._free.append(line)
        if failure is not None:
            raise failure

    def drive(self, take: Callable[[bool], Exchange | None], limit: int) -> None:
        """Run exchanges until there are none left; see `MultiTransport`. One thread at a time."""
        with self._turn:
            if self._loop is None:
                self._loop = Loop(limit)
            self._loop.run(take, limit, self._line, self._free.append)

    def wake(self) -> None:
        """Have `drive` call `take` again soon."""
        loop = self._loop
        if loop is not None:
            loop.wake()

    def close(self) -> None:
        """Close kept connections; not while `drive` runs."""
        with self._turn:
            for line in self._free:
                line.curl.close()
            self._free.clear()
            if self._loop is not None:
                self._loop.close()
                self._loop = None

    def _line(self) -> Line:
        try:
            return self._free.pop()
        except IndexError:
            return Line(self._check_address, self._ca_file, self._proxy)
