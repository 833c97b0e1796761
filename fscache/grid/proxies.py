"""Proxies: what holds a server and calls it.

Every method of the published object is a method of the proxy that returns a Result at once. Attributes
that are no methods are read and set over there, in order with the calls, and waited for.
"""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Self

from fscache.errors import GridError, HostDied, ProxyReleasedError
from fscache.grid.lines import Call
from fscache.grid.pickles import dumps
from fscache.grid.results import Result
from fscache.grid.serving import GET, SET

if TYPE_CHECKING:
    from collections.abc import Callable

    from fscache.grid.lines import Lines
    from fscache.grid.links import Message


class _Hold:
    """A lease on one server, and the calls on it that have not ended."""

    def __init__(self, lines: Lines, lease: Message, server: Message) -> None:
        self.lines = lines
        self.cluster = lines.cluster
        self.service: str = lease["service"]
        self.name: str = lease["name"]
        self.idempotent: bool = lease["idempotent"]
        self.ticket: str = lease["ticket"]
        self.server = server
        self.methods = frozenset(server["methods"])
        self.line = lines.to(server, self.name)
        # Re-entrant: a call on a broken line ends while it is being sent.
        self._lock = threading.RLock()
        self._released = False
        self._broken = False
        self._outstanding: dict[Result, Call] = {}  # in the order of calling
        self._moving = False

    def send(self, method: str, *payload: Any) -> Result:
        """Call; the order of the lock is the order of the calls."""
        blob = dumps(payload)
        with self._lock:
            if self._released:
                raise ProxyReleasedError("the proxy was released", self.name)
            outer = Result(self.lines.aside)
            call = Call(method, blob, Future())
            self._outstanding[outer] = call
            if not self._moving:
                self._post(outer, call)
        return outer

    def release(self) -> None:
        """Take no more calls; hand the server back when none is outstanding."""
        with self._lock:
            if self._released:
                return
            self._released = True
            idle = not self._outstanding
        if idle:
            self._hand_back()

    def _post(self, outer: Result, call: Call) -> None:
        self.line.send(call)
        call.result.add_done_callback(lambda inner: self._ended(outer, call, inner))

    def _ended(self, outer: Result, call: Call, inner: Any) -> None:
        exc = inner.exception()
        if self.idempotent and isinstance(exc, HostDied):
            with self._lock:
                if self._outstanding.get(outer) is not call:
                    return  # sent again already
                first, self._moving = not self._moving, True
            if first:
                self.cluster.spawn(self._move())
            return
        if isinstance(exc, HostDied):
            self._broken = True
        # Settled before it is counted as ended: whoever gets the server next finds the result there.
        if exc is None:
            outer.set_result(inner.result())
        else:
            outer.set_exception(exc)
        with self._lock:
            self._outstanding.pop(outer, None)
            idle = self._released and not self._outstanding
        if idle:
            self._hand_back()

    async def _move(self) -> None:
        """Get another server, before all others who wait, and run there what has not ended."""
        try:
            answer = await self.cluster.ask_head_async(
                "acquire",
                service=self.service,
                ticket=uuid.uuid4().hex,
                count=1,
                timeout=None,
                first=True,
            )
        except GridError as exc:
            with self._lock:
                lost, self._outstanding = self._outstanding, {}
                self._moving = False
            for outer in lost:
                outer.set_exception(exc)
            return
        self._broken = True
        self._hand_back()  # the lease on the dead one
        with self._lock:
            self._broken = False
            self.ticket, self.server = answer["ticket"], answer["granted"][0]
            self.line = self.lines.to(self.server, self.name)
            self._moving = False
            for outer, call in list(self._outstanding.items()):
                again = Call(call.method, call.blob, Future())
                self._outstanding[outer] = again
                self._post(outer, again)

    def _hand_back(self) -> None:
        self.cluster.spawn(
            self.cluster.ask_head_async(
                "release",
                service=self.service,
                ticket=self.ticket,
                server=self.server["server"],
                broken=self._broken,
            )
        )


class Proxy:
    """A server that this caller holds; use as a context manager, or release it by hand."""

    def __init__(self, lines: Lines, lease: Message, server: Message) -> None:
        object.__setattr__(self, "_hold", _Hold(lines, lease, server))

    def __getattr__(self, name: str) -> Any:
        hold: _Hold = self._hold
        if name in hold.methods:

            def call(*args: Any, **kwargs: Any) -> Result:
                return hold.send(f".{name}", args, kwargs)

            call.__name__ = name
            return call
        if name.startswith("__"):
            raise AttributeError(name)  # or pickle and copy would ask the server for their hooks
        return hold.send(GET, (name,), {}).get()

    def __setattr__(self, name: str, value: Any) -> None:
        self._hold.send(SET, (name, value), {}).get()

    def __dir__(self) -> list[str]:
        hold: _Hold = self._hold
        return [*super().__dir__(), *hold.methods]

    def __call__(self, *args: Any, **kwargs: Any) -> Result:
        """Call the object itself."""
        hold: _Hold = self._hold
        return hold.send(".__call__", args, kwargs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._hold.release()

    def __repr__(self) -> str:
        hold: _Hold = self._hold
        server = hold.server
        return f"<proxy of {hold.name} on {server['host']}, pid {server['pid']}>"


def release(proxy: Proxy) -> None:
    """Release a proxy; see `Services.release_service`."""
    hold: _Hold = object.__getattribute__(proxy, "_hold")
    hold.release()


def call_on(proxy: Proxy, method: str, *args: Any, **kwargs: Any) -> Result:
    """Call a method by its name."""
    hold: _Hold = object.__getattribute__(proxy, "_hold")
    call: Callable[..., Result] = hold.send
    return call(f".{method}", args, kwargs)
