"""What stands beside the engine's scheduler and workers, and how it is attached there.

The engine is reached through the objects that it hands to its plugins; this module imports none of it,
so that `cluster` stays the only one that does.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

from fscache.errors import HostDied
from fscache.grid import failure
from fscache.grid.addresses import host_of
from fscache.grid.channels import CommChannel

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from fscache.grid.links import HeadSide, Message, NodeSide


def opened(answer: Any) -> Any:
    """Return an answer, or raise what was raised instead."""
    if isinstance(answer, dict) and "raised" in answer:
        raise failure.unpack(answer["raised"])
    return answer


def _answering(side: HeadSide | NodeSide) -> Callable[[str, Message], Coroutine[Any, Any, Any]]:
    async def answer(what: str, message: Message) -> Any:
        # An exception travels as data: the engine would log each as a fault of its own.
        try:
            return await side.answer(what, message)
        except Exception as exc:  # noqa: BLE001 - it is raised where it was asked
            return {"raised": failure.pack(exc, socket.gethostname())}

    return answer


class Head:
    """Attaches a registry to a scheduler, and is its `links.HeadLink`."""

    async def start(self, scheduler: Any) -> None:
        """Begin."""
        from fscache.grid.registry import Registry

        self._scheduler = scheduler
        self._side: HeadSide = Registry(self)
        scheduler.handlers["fscache_ask"] = _answering(self._side)
        scheduler.stream_handlers["fscache_tell"] = self._pass_on

    def add_worker(self, scheduler: Any, worker: str) -> None:
        """A worker has registered."""
        # Where all workers died at once, the engine waits for the very addresses that were preferred,
        # for ever: no worker comes back at its old one.
        for task in scheduler.unrunnable:
            if task.loose_restrictions:
                task.worker_restrictions = None
        self._side.worker_came(worker)

    def remove_worker(self, scheduler: Any, worker: str, **_rest: Any) -> None:  # noqa: ARG002
        """A worker has died or left."""
        self._side.worker_gone(worker)

    def remove_client(self, scheduler: Any, client: str) -> None:  # noqa: ARG002
        """A client has died or left."""
        self._side.client_gone(client)

    async def ask(self, address: str, what: str, /, **message: Any) -> Any:
        """Ask a node."""
        return opened(await self._scheduler.rpc(address).fscache_ask(what=what, message=message))

    def tell(self, client: str, message: Message) -> None:
        """Send a client a message."""
        if client in self._scheduler.client_comms:
            self._scheduler.report({"op": "fscache_told", "message": message}, client=client)

    def workers(self) -> list[str]:
        """Return the addresses of all workers."""
        return list(self._scheduler.workers)

    def has_client(self, client: str) -> bool:
        """Whether a client is still there."""
        return client in self._scheduler.clients

    def _pass_on(self, client: str, message: Message, **_rest: Any) -> None:
        self.tell(client, message)


class Worker:
    """Attaches a node to a worker."""

    def __init__(self, root: str | None = None, temp: str | None = None) -> None:
        """Use this root and directory for temporary files; by default, the host's configuration."""
        self._root = root
        self._temp = temp

    def setup(self, worker: Any) -> None:
        """Begin; a node that the worker was started with stays, whatever clients bring."""
        if "fscache" in worker.extensions:
            return
        from fscache.grid.node import Node

        link = _WorkerLink(worker)
        node = Node(link, root=self._root, temp=self._temp, threads=worker.state.nthreads)
        worker.extensions["fscache"] = node
        worker.handlers["fscache_ask"] = _answering(node)

        async def converse(comm: Any, message: Message) -> None:
            channel = CommChannel(comm, link.loop)
            try:
                await node.converse(message, channel)
            finally:
                # The engine must not read on: these are no messages of its own.
                await channel.finish()

        worker.handlers["fscache_converse"] = converse


class _WorkerLink:
    """A `links.NodeLink`."""

    def __init__(self, worker: Any) -> None:
        self._worker = worker
        self.address: str = worker.address
        self.name = str(worker.name)
        self.loop: asyncio.AbstractEventLoop = worker.loop.asyncio_loop

    def ask(self, address: str, what: str, /, **message: Any) -> Any:
        """Ask another node and wait; not from the event loop."""
        question = self._worker.rpc(address).fscache_ask(what=what, message=message)
        return opened(asyncio.run_coroutine_threadsafe(question, self.loop).result())

    def peers(self) -> list[str]:
        """Return the addresses of the other nodes that are there now; not from the event loop."""
        question = self._worker.scheduler.fscache_ask(what="workers", message={})
        found = asyncio.run_coroutine_threadsafe(question, self.loop).result()
        return [address for address in found if address != self.address]

    def tell(self, client: str, message: Message) -> None:
        """Send a client a message; from any thread."""
        letter = {"op": "fscache_tell", "client": client, "message": message}
        self.loop.call_soon_threadsafe(self._worker.batched_send, letter)

    def work(self, function: Callable[..., Any], /, *args: Any) -> Awaitable[Any]:
        """Call `function` in one of the threads that the engine's tasks have; on the event loop.

        Raises:
            HostDied: there are none any more, as the worker is about to leave.
        """
        try:
            return self.loop.run_in_executor(self._worker.executors["default"], function, *args)
        except RuntimeError as exc:
            raise HostDied("it is leaving", host_of(self.address), "work") from exc
