"""Beside a worker: the node's own root, the servers that live here, the runs under way.

A node answers the head, clients and other nodes, and gives tasks that run here what they need. There is
one in a worker's process (`current`).
"""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
from typing import TYPE_CHECKING, Any

from fscache.grid.copying import Copies
from fscache.grid.holdings import Holdings
from fscache.grid.runner import Runs
from fscache.grid.serving import Listener, Server

if TYPE_CHECKING:
    from collections.abc import Callable

    from fscache.cache import Cache
    from fscache.grid.links import Channel, Message, NodeLink

_current: Node | None = None


def current() -> Node:
    """Return this process's node."""
    if _current is None:
        raise RuntimeError("this process is no worker of a grid")
    return _current


class Node:
    """A `links.NodeSide`."""

    def __init__(
        self,
        link: NodeLink,
        *,
        root: str | None = None,
        temp: str | None = None,
        threads: int = 1,
        cache: Cache | None = None,
        pull: Callable[[str], object] | None = None,
    ) -> None:
        """Open the node's root.

        Args:
            link: To the rest of the grid.
            root: Of the node's cache; from the configuration by default.
            temp: Directory for what `copy_files` brings; the system's by default.
            threads: Tasks at once.
            cache: Instead of `root`.
            pull: Brings an object of this address into the cache from the data server, or raises.
        """
        global _current  # noqa: PLW0603 - one node a process
        if cache is None:
            from fscache.cache import Cache

            cache = Cache(root)
        self.urls: Cache = cache
        """What gets URLs: through the data server, if there is one."""
        if cache.config.server is not None and pull is None:
            from fscache.remote.cache import RemoteCache

            self.urls = RemoteCache(root=cache.root.path, config=cache.config)
            pull = self.urls.path
        self.link = link
        self.host = socket.gethostname()
        self.cache = cache
        self.temp = temp or os.path.join(tempfile.gettempdir(), f"fscache-grid-{os.getuid()}")
        self.threads = threads
        self.identity = f"{self.host}:{cache.root.path}"
        self.holdings = Holdings(cache, link, pull)
        self.runs = Runs(self)
        self._copies = Copies(self.holdings, self.temp, own=not temp)
        self._servers: dict[str, Server] = {}
        self._debug = self._verbose = False
        # What is answered at once, on the event loop, so that no amount of other work delays it.
        self._quick: dict[str, Callable[..., Any]] = {
            "describe": self._describe,
            "cancel": self.runs.cancel,
        }
        self._answers: dict[str, Callable[..., Any]] = {
            "spawn": self._spawn,
            "stop": self._stop,
            "stats": self._stats,
            "debug": self._set_debug,
            "needs": self._copies.needs,
            "place": self._copies.place,
            "has": self.holdings.has,
            "read": self.holdings.read,
            "fetch": self.holdings.fetch,
            "verify": self.holdings.verify,
            "pulls": self.holdings.count_pulls,
            "lookup": self.holdings.lookup_urls,
            "columns": self._columns,
            "record": self.holdings.record_table,
            "table": self.holdings.read_table,
            "tables": self.holdings.list_tables,
            "forget": self.holdings.forget_table,
            "unpin": self.holdings.manifests.unpin,
        }
        _current = self

    # -- hooks --------------------------------------------------------------------------------

    async def answer(self, what: str, message: Message) -> Any:
        """Answer a question: in a thread, as most touch the disk or run users' code."""
        if what in self._quick:
            return self._quick[what](**message)
        if what == "compute":
            return await self._compute(**message)
        if what not in self._answers:
            raise LookupError(
                f"nodes know no question {what!r}; is their fscache of another version?"
            )
        return await asyncio.to_thread(self._answers[what], **message)

    async def converse(self, message: Message, channel: Channel) -> None:
        """Serve a channel until it ends."""
        if message["kind"] == "push":
            await self.holdings.receive(channel, message)
            return
        server = self._servers.get(message["server"])
        if server is None:
            channel.post(["ended"])
            channel.close()
            return
        listener = Listener(channel)
        server.listeners.add(listener)
        try:
            async for number, method, blob in channel.items():
                server.call(listener, number, method, blob)
        finally:
            listener.open = False
            server.listeners.discard(listener)

    # -- answers ------------------------------------------------------------------------------

    def _describe(self) -> dict[str, Any]:
        return {
            "name": self.link.name,
            "host": self.host,
            "pid": os.getpid(),
            "node": self.identity,
            "temp": self.temp,
            "threads": self.threads,
        }

    def _spawn(self, server: str, service: str, name: str, blob: bytes) -> dict[str, Any]:
        made = Server(server, name, self.host)
        made.verbose = self._verbose
        methods = made.start(blob)
        self._servers[server] = made
        self._say(f"serves {service}")
        return {
            "host": self.host,
            "pid": os.getpid(),
            "node": self.identity,
            "worker": self.link.name,
            "methods": methods,
        }

    def _stop(self, servers: list[str]) -> None:
        for key in servers:
            server = self._servers.pop(key, None)
            if server is not None:
                server.stop()
                self._say(f"stops {key}")

    def _stats(self, server: str) -> dict[str, Any]:
        return self._servers[server].stats()

    def _columns(self, address: str, holders: list[str]) -> dict[str, str]:
        from fscache.grid.sql.catalog import columns_of
        from fscache.grid.sql.sandbox import directories

        return columns_of(self.holdings.path(address, holders), directories(self.cache))

    async def _compute(self, task: bytes, portions: list[Any]) -> list[Any]:
        from fscache.grid.sql.worker import run_portion

        waiting = [self.link.work(run_portion, self, task, files) for files in portions]
        return await asyncio.gather(*waiting)

    def _set_debug(self, *, debug: bool, verbose: bool) -> None:
        self._debug, self._verbose = debug, debug and verbose
        for server in self._servers.values():
            server.verbose = self._verbose

    def _say(self, text: str) -> None:
        if self._debug:
            print(f"node {self.link.name} {text}", flush=True)  # noqa: T201 - into the worker's log
