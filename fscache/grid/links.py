"""What the parts that run beside the engine ask of it: the seams between `cluster` and the rest.

`cluster` gives a HeadLink to the registry (on the scheduler) and a NodeLink to the node (on a worker),
and calls their hooks; neither knows Dask. Messages are mappings of texts, numbers, lists and bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Awaitable, Callable

Message = dict[str, Any]

PATIENCE = 10.0
"""Seconds after which a node that does not answer a small question is left out: one that hangs, on a dead
file server for instance, does not hang the others."""


class Channel(Protocol):
    """A connection between two processes on which items keep their order both ways."""

    def post(self, item: Any) -> None:
        """Send an item, from any thread; items that wait are sent together."""

    def items(self) -> AsyncIterator[Any]:
        """Yield what comes, until either end closes or dies."""

    def close(self) -> None:
        """Close once everything posted has been sent; from any thread."""

    def abort(self) -> None:
        """Close without another word; on the event loop."""


class HeadLink(Protocol):
    """What the registry may do."""

    async def ask(self, address: str, what: str, /, **message: Any) -> Any:
        """Ask the node at `address`; raises what it raised, OSError if it is gone."""

    def tell(self, client: str, message: Message) -> None:
        """Send a client a message, if it is still there."""

    def workers(self) -> list[str]:
        """Return the addresses of all workers."""

    def has_client(self, client: str) -> bool:
        """Whether a client is still there."""


class HeadSide(Protocol):
    """What runs beside the scheduler."""

    async def answer(self, what: str, message: Message) -> Any:
        """Answer a question of a client."""

    def worker_came(self, address: str) -> None:
        """A worker has registered."""

    def worker_gone(self, address: str) -> None:
        """A worker has died or left."""

    def client_gone(self, client: str) -> None:
        """A client has died or left."""


class NodeLink(Protocol):
    """What a node may do."""

    address: str
    name: str
    loop: asyncio.AbstractEventLoop

    def ask(self, address: str, what: str, /, **message: Any) -> Any:
        """Ask another node and wait; not from the event loop. Raises what it raised, OSError if gone."""

    def peers(self) -> list[str]:
        """Return the addresses of the other nodes that are there now; not from the event loop."""

    def tell(self, client: str, message: Message) -> None:
        """Send a client a message, if it is still there; from any thread."""

    def work(self, function: Callable[..., Any], /, *args: Any) -> Awaitable[Any]:
        """Call `function` when one of the worker's threads is free, in turn with the engine's tasks."""


class NodeSide(Protocol):
    """What runs beside a worker."""

    async def answer(self, what: str, message: Message) -> Any:
        """Answer a question of the head, a client or another node."""

    async def converse(self, message: Message, channel: Channel) -> None:
        """Serve a channel until it ends."""
