"""Lines: one connection from this client to one server, on which calls keep their order.

A line notices within seconds that the other end is gone, and ends every call on it with HostDied; it
never sends one twice. It is opened by the first call and kept: acquiring again costs no handshake.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from fscache.errors import HostDied, ServiceEndedError
from fscache.grid import failure
from fscache.grid.aside import Aside
from fscache.grid.pickles import dumps, loads
from fscache.grid.results import Result

if TYPE_CHECKING:
    from concurrent.futures import Future

    from fscache.grid.cluster import Cluster
    from fscache.grid.links import Channel, Message


class Call:
    """A call that has been sent, as it would be sent again."""

    __slots__ = ("blob", "method", "result")

    def __init__(self, method: str, blob: bytes, result: Future[Any]) -> None:
        self.method = method
        self.blob = blob
        self.result = result


class Line:
    """The connection to one server."""

    def __init__(self, cluster: Cluster, aside: Aside, server: Message, name: str) -> None:
        self._cluster = cluster
        self._aside = aside
        self._server = server
        self._name = name
        self._lock = threading.Lock()
        self._calls: dict[int, Call] = {}
        self._count = 0
        self._channel: Channel | None = None
        self._early: list[list[Any]] = []
        self._opening = False
        self.broken: Exception | None = None

    def call(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Result:
        """Send a call; arguments are as they are now, whatever becomes of them later."""
        result = Result(self._aside)
        self.send(Call(f".{method}", dumps((args, kwargs)), result))
        return result

    def send(self, call: Call) -> None:
        """Send a call that has been prepared; its result is set on the event loop."""
        with self._lock:
            if self.broken is None:
                self._count += 1
                self._calls[self._count] = call
                item = [self._count, call.method, call.blob]
                if self._channel is not None:
                    self._channel.post(item)
                else:
                    self._early.append(item)
                    if not self._opening:
                        self._opening = True
                        self._cluster.spawn(self._serve())
                return
        call.result.set_exception(self.broken)

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            if self._channel is not None:
                self._channel.close()

    async def _serve(self) -> None:
        why: Exception = self._died("its process ended")
        try:
            channel = await self._cluster.open_channel(
                self._server["address"], kind="serve", server=self._server["server"]
            )
            with self._lock:
                self._channel = channel
                for item in self._early:
                    channel.post(item)
                self._early.clear()
            async for item in channel.items():
                if item[0] == "ended":
                    why = ServiceEndedError("it was terminated", self._name)
                    break
                self._settle(*item[1:])
            channel.abort()
        except HostDied as exc:
            why = self._died(exc.why)
        finally:
            self._break(why)

    def _settle(self, number: int, good: bool, payload: Any) -> None:
        with self._lock:
            call = self._calls.pop(number)
        try:
            if good:
                call.result.set_result(loads(payload))
                return
            exc = failure.unpack(payload)
        except Exception as unreadable:  # noqa: BLE001 - a value whose class is not known here
            exc = unreadable
        call.result.set_exception(exc)

    def _break(self, why: Exception) -> None:
        with self._lock:
            self.broken = why
            calls = list(self._calls.values())
            self._calls.clear()
        for call in calls:
            call.result.set_exception(why)

    def _died(self, why: str) -> HostDied:
        return HostDied(why, self._server["host"], f"service {self._name}")


class Lines:
    """The lines of one client."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.aside = Aside()
        self._lines: dict[str, Line] = {}
        self._lock = threading.Lock()

    def to(self, server: Message, name: str) -> Line:
        """Return the line to a server; a new one where the last is broken."""
        with self._lock:
            line = self._lines.get(server["server"])
            if line is None or line.broken is not None:
                self._lines = {
                    key: kept for key, kept in self._lines.items() if kept.broken is None
                }
                line = self._lines[server["server"]] = Line(self.cluster, self.aside, server, name)
            return line

    def close(self) -> None:
        """Close all of them."""
        with self._lock:
            for line in self._lines.values():
                line.close()
