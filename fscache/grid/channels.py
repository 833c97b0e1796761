"""Channels: items in order both ways over one connection, whose other end is watched.

A process that dies closes its connections, which is seen at once. A host that vanishes closes nothing,
so each end asks the other's kernel for a sign every second (`beat`); a process that is merely busy, or
stopped, has a kernel that answers, and is not taken for dead.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

VANISHED = 4.0
"""Seconds without a sign from the other end's kernel after which a channel is broken."""
_BEAT = 1.0  # seconds between signs asked for
_TCP_USER_TIMEOUT = 18  # socket.TCP_USER_TIMEOUT, which Python has from 3.12 on


class CommChannel:
    """A `links.Channel` over a connection of the engine."""

    def __init__(self, comm: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._comm = comm
        self._loop = loop
        self._out: deque[Any] = deque()
        self._pumping = False
        self._closing = False
        self._sent = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        stream = getattr(comm, "stream", None)  # there is none within one process
        if stream is not None:
            with contextlib.suppress(OSError):
                wire = stream.socket
                wire.setsockopt(socket.IPPROTO_TCP, _TCP_USER_TIMEOUT, int(VANISHED * 1000))
                wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def post(self, item: Any) -> None:
        """Send an item, from any thread; items that wait are sent together."""
        self._out.append(item)
        if not self._pumping:
            self._wake()

    async def drained(self) -> None:
        """Wait until what was posted is on its way, so that it does not pile up; on the event loop."""
        while self._out and not self._comm.closed():
            self._sent.clear()
            await self._sent.wait()

    def close(self) -> None:
        """Close once everything posted has been sent; from any thread."""
        self._closing = True
        self._wake()

    def beat(self) -> None:
        """Ask the other end's kernel for a sign, again and again; on the event loop."""
        self._start(self._beats())

    async def items(self) -> AsyncIterator[Any]:
        """Yield what comes, until either end closes or dies."""
        try:
            while True:
                for item in await self._comm.read():
                    yield item
        except OSError:
            return

    async def finish(self) -> None:
        """Drop what still comes, until the end; on the event loop."""
        async for _item in self.items():
            pass
        self.abort()

    def abort(self) -> None:
        """Close without another word; on the event loop."""
        for task in self._tasks:
            task.cancel()
        self._comm.abort()

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and everything with it
            self._loop.call_soon_threadsafe(self._start_pump)

    def _start_pump(self) -> None:
        if not self._pumping:
            self._pumping = True
            self._start(self._pump())

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pump(self) -> None:
        try:
            # The flag falls before the last look: whoever posts between the two wakes us again.
            while self._out or self._rest():
                batch = list(self._out)
                for _ in batch:
                    self._out.popleft()
                await self._comm.write(batch)
                self._sent.set()
            if self._closing:
                await self._comm.close()
        except OSError:
            self._comm.abort()  # the reader tells
            self._sent.set()

    def _rest(self) -> bool:
        self._pumping = False
        if self._out:
            self._pumping = True
        return self._pumping

    async def _beats(self) -> None:
        while not self._comm.closed():
            await asyncio.sleep(_BEAT)
            if not self._pumping:
                self._pumping = True
                try:
                    await self._comm.write([])
                except OSError:
                    self._comm.abort()
                    return
                await self._pump()
