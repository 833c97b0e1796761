"""Beside the scheduler: which services there are, who holds which server, who waits.

Here, and not in a client, because clients come and go: a queue that all of them share, a lease that
ends with its client, a service that outlives the program that published it.

Promises: whoever waits is served in the order of asking, over all clients; a lease ends with its
client, and a server with its worker; whoever waits for what can no longer come is told so at once.
Everything here runs on the scheduler's event loop, so no step of it is seen half done.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from fscache.errors import NoServersError, ServiceEndedError, UnknownServiceError
from fscache.grid.leases import LeaseBook

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from fscache.grid.leases import Grant
    from fscache.grid.links import HeadLink, Message


class _Service:
    """One published service."""

    def __init__(self, message: Message) -> None:
        self.id: str = message["service"]
        self.name: str = message["name"]
        self.blob: bytes = message["blob"]
        self.hosts: list[str] = message["hosts"]
        self.idempotent: bool = message["idempotent"]
        self.respawn: bool = message["respawn"]
        self.book = LeaseBook()
        self.servers: dict[str, Message] = {}  # by server id
        self.jobs: dict[str, int] = {}  # how often each was acquired
        self.failed: dict[str, str] = {}  # why there is none, by worker address
        self.starting: set[str] = set()
        self.lost: dict[str, int] = {}  # nodes whose server died, and its rank
        self.leases: dict[str, str] = {}  # client by ticket
        self.waiters: dict[str, asyncio.Future[list[Message]]] = {}
        self.changed = asyncio.Event()
        self.generation = 0

    @property
    def hopeless(self) -> bool:
        """Whether no server can come any more."""
        return not (self.servers or self.starting or (self.respawn and self.lost))

    def publicly(self) -> Message:
        """Return what everybody may know."""
        return {
            "service": self.id,
            "name": self.name,
            "idempotent": self.idempotent,
            "respawn": self.respawn,
            "servers": sorted(self.servers.values(), key=lambda server: server["rank"]),
            "failed": self.failed,
            "jobs": {server: self.jobs.get(server, 0) for server in self.servers},
            "waiting": len(self.book.waiting),
            "acquired": {server: self.book.holder(server) is not None for server in self.servers},
        }


class Registry:
    """A `links.HeadSide`."""

    def __init__(self, link: HeadLink) -> None:
        self._link = link
        self._services: dict[str, _Service] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # -- hooks --------------------------------------------------------------------------------

    async def answer(self, what: str, message: Message) -> Any:
        """Answer a question of a client."""
        if what == "workers":
            return self._link.workers()
        if what == "services":
            return [service.publicly() for service in self._services.values()]
        if what == "publish":
            return await self._publish(message)
        if what == "terminate":
            return await self._terminate(message["service"])
        service = self._find(message["service"])
        if what == "service":
            return service.publicly()
        if what == "acquire":
            return await self._acquire(service, message)
        if what == "withdraw":
            self._withdraw(service, message["ticket"])
            return None
        if what == "release":
            if message["broken"] and await self._is_dead(service, message["server"]):
                return None  # nobody else gets it: `worker_gone` comes in a moment
            self._grant(service, service.book.release(message["ticket"], message["server"]))
            if not service.book.held(message["ticket"]):
                service.leases.pop(message["ticket"], None)
            return None
        raise LookupError(f"the grid's head knows no question {what!r}")

    def worker_came(self, address: str) -> None:
        """A worker has registered: it may take the place of one that died."""
        for service in self._services.values():
            if service.respawn and service.lost:
                self._start(self._replace(service, address))

    def worker_gone(self, address: str) -> None:
        """A worker has died or left, and its servers with it."""
        for service in self._services.values():
            gone = [key for key, server in service.servers.items() if server["address"] == address]
            for key in gone:
                server = service.servers.pop(key)
                service.lost[server["node"]] = server["rank"]
                self._grant(service, service.book.remove(key))
            if gone:
                service.failed[address] = "died"
                self._check_hope(service)

    def client_gone(self, client: str) -> None:
        """A client has died or left: its leases end, its place in queues is free, its runs stop."""
        for service in self._services.values():
            for ticket in [ticket for ticket, owner in service.leases.items() if owner == client]:
                self._withdraw(service, ticket)
        for address in self._link.workers():
            self._start(self._tell_node(address, "cancel", owner=client))

    # -- publishing ---------------------------------------------------------------------------

    async def _publish(self, message: Message) -> Message:
        service = _Service(message)
        self._services[service.id] = service
        for rank, address in enumerate(service.hosts):
            service.starting.add(address)
            self._start(self._spawn(service, address, rank))
        wanted = len(service.hosts) if message["wait"] == "all" else 1
        try:
            async with asyncio.timeout(message["timeout"]):
                while service.starting and len(service.servers) < wanted:
                    service.changed.clear()
                    await service.changed.wait()
        except TimeoutError:
            if not service.servers:
                await self._terminate(service.id)
                raise
        if not service.servers:
            await self._terminate(service.id)
            why = "; ".join(f"{address}: {text}" for address, text in service.failed.items())
            raise NoServersError(f"no host could start it: {why}", service.name)
        return service.publicly()

    async def _spawn(self, service: _Service, address: str, rank: int) -> None:
        service.generation += 1
        key = f"{service.id}#{service.generation}"
        try:
            server = await self._link.ask(
                address,
                "spawn",
                server=key,
                service=service.id,
                name=service.name,
                blob=service.blob,
            )
        except Exception as exc:  # noqa: BLE001 - what a user's class raises when unpickled
            service.failed[address] = f"{type(exc).__name__}: {exc}"
        else:
            if self._services.get(service.id) is not service:
                await self._tell_node(address, "stop", servers=[key])
                return
            if address in self._link.workers():  # it may have died since it answered
                service.servers[key] = {**server, "server": key, "address": address, "rank": rank}
                service.failed.pop(address, None)
                self._grant(service, service.book.add(key))
        finally:
            service.starting.discard(address)
            service.changed.set()
            self._check_hope(service)

    async def _replace(self, service: _Service, address: str) -> None:
        """Start a fresh copy on a worker that came to a node whose server died."""
        try:
            node = (await self._link.ask(address, "describe"))["node"]
        except OSError:
            return
        if node in service.lost:
            service.starting.add(address)
            await self._spawn(service, address, service.lost.pop(node))

    async def _terminate(self, wanted: str | None) -> int:
        services = [self._find(wanted)] if wanted is not None else list(self._services.values())
        for service in services:
            self._services.pop(service.id, None)
            for waiter in service.waiters.values():
                if not waiter.done():
                    waiter.set_exception(ServiceEndedError("it was terminated", service.name))
            service.waiters.clear()
            by_address: dict[str, list[str]] = {}
            for key, server in service.servers.items():
                by_address.setdefault(server["address"], []).append(key)
            for address, keys in by_address.items():
                await self._tell_node(address, "stop", servers=keys)
        return len(services)

    # -- leases -------------------------------------------------------------------------------

    async def _acquire(self, service: _Service, message: Message) -> Message:
        if service.hopeless:
            raise NoServersError("all of its hosts have died", service.name)
        ticket = message["ticket"]
        waiter: asyncio.Future[list[Message]] = asyncio.get_running_loop().create_future()
        service.waiters[ticket] = waiter
        service.leases[ticket] = message["client"]
        self._grant(service, service.book.ask(ticket, message["count"], first=message["first"]))
        try:
            servers = await asyncio.wait_for(waiter, message["timeout"])
        except BaseException as exc:
            self._withdraw(service, ticket)
            if isinstance(exc, TimeoutError):
                raise TimeoutError(
                    f"all servers of {service.name} were busy for {message['timeout']:g} s"
                ) from None
            raise
        if not self._link.has_client(message["client"]):  # it died before its question was read
            self.client_gone(message["client"])
        return {**service.publicly(), "ticket": ticket, "granted": servers}

    def _withdraw(self, service: _Service, ticket: str) -> None:
        """Nobody uses a ticket any more, whether it waits or holds servers."""
        service.leases.pop(ticket, None)
        waiter = service.waiters.pop(ticket, None)
        if waiter is not None:
            waiter.cancel()
        self._grant(service, service.book.withdraw(ticket))
        self._grant(service, service.book.release(ticket))

    async def _is_dead(self, service: _Service, key: str) -> bool:
        """Whether a server is gone whose line to a client has broken: the client may see it first."""
        server = service.servers.get(key)
        if server is None:
            return False  # known by now, and out of the book
        try:
            await self._link.ask(server["address"], "describe")
        except OSError:
            return True
        return False

    def _grant(self, service: _Service, grants: list[Grant]) -> None:
        for grant in grants:
            waiter = service.waiters.pop(grant.ticket, None)
            if waiter is None or waiter.done():
                # It stopped waiting in this very turn.
                self._grant(service, service.book.release(grant.ticket))
                continue
            for key in grant.servers:
                service.jobs[key] = service.jobs.get(key, 0) + 1
            waiter.set_result([service.servers[key] for key in grant.servers])

    def _check_hope(self, service: _Service) -> None:
        if service.hopeless:
            for ticket, waiter in list(service.waiters.items()):
                service.book.withdraw(ticket)
                if not waiter.done():
                    waiter.set_exception(NoServersError("all of its hosts have died", service.name))
            service.waiters.clear()

    # -- inside -------------------------------------------------------------------------------

    def _find(self, wanted: str) -> _Service:
        found = self._services.get(wanted)
        if found is None:
            named = [service for service in self._services.values() if service.name == wanted]
            if not named:
                raise UnknownServiceError("nothing is published under this name", wanted)
            found = named[-1]  # the newest of that name
        return found

    async def _tell_node(self, address: str, what: str, **message: Any) -> None:
        try:
            await self._link.ask(address, what, **message)
        except OSError:
            pass  # gone, and with it what it was to be told

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
