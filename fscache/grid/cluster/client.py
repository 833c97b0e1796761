"""What a program that uses a cluster asks of the engine.

A `Cluster` is one client's view: submit near data, actor, scatter, gather, cancel, workers; and what
the grid adds to the engine: questions to the head and to nodes (`ask…`), channels that keep order and
notice death (`open_channel`), messages from nodes (`on_message`). On the other side of these stand a
`Registry` beside the scheduler and a `Node` beside each worker; plugins attach them, so that any Dask
scheduler and worker that can import fscache will do.

What is known of the engine (measured, see docs/grid.md), and what follows:

- A worker that dies is noticed at once by its closed connections; one that vanishes only after 11 s at
  the least, so channels set a shorter time of their own, in the kernel.
- Raw actors reorder pipelined calls and share one thread, so services use channels; `actor` is for
  state that tolerates both.
- Restriction is by address with other workers allowed: a preference that outlives its worker; not
  quite, if all workers die at once, so `attach` helps.
- Running tasks are not interrupted by `cancel`; `fscache.grid.interrupt` sees to that.
- A task takes 16 ms there and back, a question to a node 1.5: steps of queries are questions.
"""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, NamedTuple

import distributed
from distributed.comm import connect

from fscache.errors import ClusterError, HostDied
from fscache.grid import failure
from fscache.grid.addresses import check_protection, host_of, in_full
from fscache.grid.attach import opened
from fscache.grid.channels import VANISHED, CommChannel
from fscache.grid.cluster import roles
from fscache.grid.cluster.connecting import Client
from fscache.grid.links import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Iterator
    from concurrent.futures import Future as Answer

    from distributed import Future

    from fscache.grid.links import Message
    from fscache.grid.tls import KeyPair


class WorkerInfo(NamedTuple):
    """A worker as it describes itself."""

    address: str
    name: str
    host: str
    pid: int
    node: str
    """Identity of the node: its host and root. Two workers of one node share their objects."""
    temp: str
    threads: int


class Cluster:
    """A connection to a scheduler; from any thread, except where it says otherwise."""

    def __init__(
        self, address: str, pair: KeyPair | None, *, timeout: float = 10.0, embedded: Any = None
    ) -> None:
        """Connect.

        Raises:
            GridAddressError: this is no address.
            InsecureGridError: it is another host's, and no certificates; or has no use for them.
            ClusterError: nobody answers there, or refuses our certificate.
        """
        address = in_full(address)
        check_protection(address, certificates=pair is not None)
        self.address = address
        """The scheduler's."""
        self._embedded = embedded
        self._closed = False
        self._listeners: dict[str, Callable[[Message], None]] = {}
        try:
            self._engine = Client(
                embedded or address,
                security=roles.security(pair),
                timeout=timeout,
                set_as_default=False,
                name="fscache",
            )
            # The one way in for messages from nodes that is neither kept on the scheduler nor sent to
            # every client, as the engine's own topics are.
            self._engine._stream_handlers["fscache_told"] = self._told  # noqa: SLF001
            self._loop: asyncio.AbstractEventLoop = self._engine.loop.asyncio_loop
            self._engine.register_plugin(roles.HeadPlugin())
            self._engine.register_plugin(roles.NodePlugin())
        except OSError as exc:
            raise ClusterError(f"no scheduler answers at {address}: {exc}") from exc

    @classmethod
    def embedded(cls, pair: KeyPair, host: str = "127.0.0.1") -> Cluster:
        """Start a scheduler in this process; workers are started by whoever calls this."""
        local = roles.embedded_head(pair, host)
        return cls(local.scheduler_address, pair, embedded=local)

    @property
    def _client(self) -> Any:
        if self._closed:
            raise ClusterError("it has been closed")
        if not self.alive:
            raise self._gone()
        return self._engine

    @property
    def client(self) -> str:
        """Who this is, to the scheduler."""
        return str(self._client.id)

    @property
    def alive(self) -> bool:
        """Whether the scheduler is still there."""
        return bool(self._engine.status == "running")

    # -- the engine ---------------------------------------------------------------------------

    def submit(
        self,
        function: Callable[..., Any],
        *args: Any,
        near: Iterable[str] = (),
        key: str,
        retries: int = 0,
    ) -> Future:
        """Run `function` once on some worker, rather one of `near` (addresses); run anew if it dies."""
        place = {"workers": list(near), "allow_other_workers": True} if near else {}
        return self._client.submit(function, *args, key=key, retries=retries, pure=False, **place)

    def actor(self, kind: type, *args: Any, at: str) -> Any:
        """Make an object of a class that lives on the worker at `at`; see the module's text."""
        with self._client.as_current():  # the actor's handle binds to the client it finds
            return self._client.submit(kind, *args, actor=True, workers=[at], pure=False).result()

    def scatter(self, value: Any, *, broadcast: bool = True) -> Future:
        """Send a value to the workers once; pass the future to `submit` in its place."""
        return self._client.scatter(value, broadcast=broadcast, hash=False)

    def gather(self, futures: list[Future]) -> list[Any]:
        """Return the values of futures; raises the first error, HostDied if a task killed its hosts."""
        try:
            return list(self._client.gather(futures))
        except distributed.KilledWorker as exc:
            raise failure.killed(exc) from exc

    def cancel(self, futures: Iterable[Future]) -> None:
        """Forget tasks that have not started; those that run are not interrupted by this."""
        with contextlib.suppress(OSError, RuntimeError):
            self._client.cancel(list(futures), force=True, asynchronous=False)

    def finished(self, futures: list[Future], *, values: bool) -> Iterator[tuple[Future, Any]]:
        """Yield each future as it ends, with its exception if it has one, with its value if asked."""
        completed = distributed.as_completed(
            futures, loop=self._client.loop, with_results=values, raise_errors=False
        )
        for item in completed:
            future, value = item if values else (item, None)
            if future.status == "error":
                value = future.exception()
                if isinstance(value, distributed.KilledWorker):
                    value = failure.killed(value)
            elif future.status == "cancelled":
                # The engine cancels everything when it loses its scheduler.
                value = CancelledError() if self.alive or self._closed else self._gone()
            yield future, value

    def size(self, futures: list[Future]) -> int:
        """Return how many bytes the values of finished futures have together, as the engine counts."""
        return sum(self._client.nbytes([future.key for future in futures], summary=False).values())

    def holders(self, futures: list[Future]) -> list[str]:
        """Return a worker that has the value, for each finished future."""
        places = self._client.who_has(futures)
        return [next(iter(places[future.key]), "") for future in futures]

    def wait_for(self, count: int, timeout: float) -> None:
        """Wait until there are `count` workers; raises ClusterError."""
        try:
            self._client.wait_for_workers(count, timeout)
        except TimeoutError as exc:
            here = len(self.addresses())
            raise ClusterError(f"{here} of {count} workers came within {timeout:g} s") from exc

    def addresses(self) -> list[str]:
        """Return the addresses of the workers that are there, in a stable order."""
        return sorted(self.ask_head("workers"))

    def workers(self) -> list[WorkerInfo]:
        """Return the workers that are there and answer, by name."""
        found = self.ask_all("describe", patience=PATIENCE)
        infos = [
            WorkerInfo(address=address, **answer)
            for address, answer in found.items()
            if isinstance(answer, dict)
        ]
        return sorted(infos, key=lambda info: (info.host, info.name, info.address))

    # -- what the grid adds -------------------------------------------------------------------

    def ask_head(self, what: str, /, **message: Any) -> Any:
        """Ask the registry; raises what it raised, ClusterError if it is gone."""
        return self._client.sync(lambda: self.ask_head_async(what, **message))

    async def ask_head_async(self, what: str, /, **message: Any) -> Any:
        """Ask the registry, on the event loop."""
        message["client"] = self.client
        try:
            answer = await self._client.scheduler.fscache_ask(what=what, message=message)
        except OSError as exc:
            raise self._gone() from exc
        return opened(answer)

    def ask(self, address: str, what: str, /, **message: Any) -> Any:
        """Ask one node; raises what it raised, HostDied if it is gone."""
        return self._client.sync(lambda: self.ask_async(address, what, **message))

    async def ask_async(self, address: str, what: str, /, **message: Any) -> Any:
        """Ask one node, on the event loop."""
        try:
            answer = await self._client.rpc(address).fscache_ask(what=what, message=message)
        except OSError as exc:
            raise HostDied(str(exc), host_of(address), f"question {what}") from exc
        return opened(answer)

    def ask_all(
        self,
        what: str,
        /,
        *,
        at: Iterable[str] | None = None,
        patience: float | None = None,
        **message: Any,
    ) -> dict[str, Any]:
        """Ask many nodes at once; return answers by address, exceptions among them.

        Args:
            what: The question.
            at: Addresses; all by default.
            patience: Seconds after which an answer is not waited for: it is a TimeoutError then.
            message: What belongs to the question.
        """

        async def ask() -> dict[str, Any]:
            addresses = list(await self.ask_head_async("workers") if at is None else at)
            questions = (
                asyncio.wait_for(self.ask_async(address, what, **message), patience)
                for address in addresses
            )
            answers = await asyncio.gather(*questions, return_exceptions=True)
            return dict(zip(addresses, answers, strict=True))

        return dict(self._client.sync(ask))

    async def open_channel(self, address: str, /, **message: Any) -> CommChannel:
        """Open a channel to a node, on the event loop; raises HostDied."""
        try:
            comm = await connect(address, timeout=VANISHED, **self._client.connection_args)
            await comm.write({"op": "fscache_converse", "reply": False, "message": message})
        except OSError as exc:
            raise HostDied(str(exc) or "no connection", host_of(address), "a connection") from exc
        channel = CommChannel(comm, self._loop)
        channel.beat()
        return channel

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine on the event loop and wait for it; not from the event loop."""
        return self._client.sync(lambda: coroutine)

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> Answer[Any]:
        """Run a coroutine on the event loop, from any thread, without waiting."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def on_message(self, topic: str, listener: Callable[[Message], None] | None) -> None:
        """Call `listener` on the event loop for what nodes tell about `topic`; None stops that."""
        self._listeners.pop(topic, None)
        if listener is not None:
            self._listeners[topic] = listener

    def close(self) -> None:
        """Leave; an embedded scheduler ends."""
        self._closed = True
        self._engine.leave()
        if self._embedded is not None:
            roles.close_head(self._embedded)

    def _gone(self) -> ClusterError:
        return ClusterError(f"the scheduler at {self.address} is gone")

    def _told(self, message: Message) -> None:
        if (listener := self._listeners.get(message["topic"])) is not None:
            listener(message)
