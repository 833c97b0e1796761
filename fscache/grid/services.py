"""Services, as their callers see them: publish, acquire, call, release, and all hosts at once.

    service = grid.publish(Model(parameters))
    with grid.acquire_service(service) as model:
        energies = [model.energy(state) for state in states]     # futures, at once
        print([energy.get() for energy in energies])

Promises:

- Calls on one proxy run one after the other, in the order of calling, on the same server; other callers'
  calls do not come between, since nobody else has the server.
- A call runs at most once. If its server's process dies it ends with HostDied, within seconds; only a
  service published `idempotent=True` has it run again, on another server.
- A released proxy's server is free once its last outstanding call has ended, at once if there is none.
- A client that dies gives back what it held.

Not promised: that what one caller changes in a server is undone before the next one gets it. Each
server is a copy with a state of its own.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from fscache.errors import GridError, NoServersError, UnknownServiceError
from fscache.grid.hosts import chosen
from fscache.grid.leases import ALL
from fscache.grid.lines import Lines
from fscache.grid.pickles import dumps
from fscache.grid.proxies import Proxy, call_on, release
from fscache.grid.results import Result, gather
from fscache.grid.serving import Published

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from fscache.grid.cluster import Cluster


class Services:
    """The services of one cluster, for one client."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._lines = Lines(cluster)
        self._published: list[str] = []

    def publish(
        self,
        instance: Any = None,
        *,
        name: str | None = None,
        loader: Callable[[], Any] | None = None,
        hosts: str | Iterable[str] | None = None,
        idempotent: bool = False,
        respawn: bool = False,
        wait: str = "first",
        timeout: float | None = 600.0,
    ) -> str:
        """Put a copy of an object on every worker; return the service's id.

        Args:
            instance: What is published; it must be picklable.
            name: To look the service up by; its class's name by default.
            loader: Makes the object, on each worker, instead of `instance`.
            hosts: Names of hosts or workers, or one; all by default.
            idempotent: Calls may be run again when their server dies.
            respawn: Start a fresh copy of what was published when a worker comes back to a node whose
                server has died.
            wait: Return when the `first` server is ready, or when `all` are or have failed.
            timeout: The longest wait for that, in s.

        Raises:
            TypeError: there is no instance and no loader, or there are both.
            NoServersError: no worker could make its copy.
            TimeoutError: none was ready in time.
        """
        if (instance is None) == (loader is None):
            raise TypeError("what is to be published? an instance, or a loader that makes one")
        if wait not in ("first", "all"):
            raise ValueError("wait is 'first' or 'all'")
        kind = type(instance) if loader is None else loader
        called: str = name or str(getattr(kind, "__name__", "service"))
        workers = self._cluster.workers()
        try:
            addresses = [worker.address for worker in chosen(workers, hosts)]
        except GridError as exc:
            raise NoServersError(exc.why, called) from None
        if not addresses:
            raise NoServersError("the grid has no workers", called)
        # A new one each time: the same object published twice is two services.
        service = f"{called}.{uuid.uuid4().hex[:16]}"
        try:
            self._cluster.ask_head(
                "publish",
                service=service,
                name=called,
                blob=dumps(Published(instance, loader)),
                hosts=addresses,
                idempotent=idempotent,
                respawn=respawn,
                wait=wait,
                timeout=timeout,
            )
        except KeyboardInterrupt:  # or it would stay, and nobody would know its id
            self._cluster.spawn(self._cluster.ask_head_async("terminate", service=service))
            raise
        self._published.append(service)
        return service

    def services(self) -> list[dict[str, Any]]:
        """Return what is known of every service of the cluster, whoever published it."""
        return list(self._cluster.ask_head("services"))

    def service(self, service: str) -> dict[str, Any]:
        """Return what is known of a service: its servers, and why a host has none (`failed`)."""
        found: dict[str, Any] = self._cluster.ask_head("service", service=service)
        return found

    def acquire_service(self, service: str, timeout: float | None = None) -> Proxy:
        """Wait for a free server and return a proxy of it.

        Args:
            service: Id, or name: of several with one name, the newest.
            timeout: The longest wait, in s.

        Raises:
            TimeoutError: all servers were busy for so long.
            UnknownServiceError, ServiceEndedError, NoServersError: there is none to wait for.
        """
        return self._acquire(service, 1, timeout)[0]

    def acquire_all(self, service: str, timeout: float | None = None) -> list[Proxy]:
        """Wait until every server is free and return proxies of all, in the order of their hosts."""
        return self._acquire(service, ALL, timeout)

    def release_service(self, proxy: Proxy) -> None:
        """Give a server back when its last call has ended; the proxy takes no more calls."""
        release(proxy)

    def broadcast(self, service: str, method: str, *args: Any, **kwargs: Any) -> list[Result]:
        """Call a method on every server, in the order of their hosts; acquires none of them."""
        count = len(self.service(service)["servers"])
        return self.scatter(service, method, [args] * count, [kwargs] * count)

    def scatter(
        self,
        service: str,
        method: str,
        arguments: Sequence[Sequence[Any]],
        keywords: Sequence[Mapping[str, Any]] | None = None,
    ) -> list[Result]:
        """Call a method on every server, each with its own arguments; acquires none of them.

        Args:
            service: Id or name.
            method: Name of the method.
            arguments: The i-th are for the i-th server; fewer call on the first servers only.
            keywords: Keyword arguments likewise.

        Raises:
            ValueError: there are more arguments than servers.
        """
        known = self.service(service)
        servers = known["servers"]
        named = keywords if keywords is not None else [{}] * len(arguments)
        if len(arguments) > len(servers) or len(named) != len(arguments):
            raise ValueError(
                f"{len(arguments)} arguments and {len(named)} keywords for {len(servers)} servers"
            )
        return [
            self._lines.to(server, known["name"]).call(method, tuple(args), dict(kwargs))
            for server, args, kwargs in zip(servers, arguments, named, strict=False)
        ]

    def gather(self, results: list[Result], timeout: float | None = None) -> list[Any]:
        """Return the values of results in their order."""
        return gather(results, timeout)

    def stats(self, service: str) -> list[dict[str, Any]]:
        """Return what each server has done so far.

        Returns:
            By server: `host pid jobs calls failures durations` (s, of the last 50 calls) `mean`
            `last_error acquired`; `jobs` counts how often it was acquired.
        """
        known = self.service(service)
        table = []
        for server in known["servers"]:
            row = self._cluster.ask(server["address"], "stats", server=server["server"])
            durations = row["durations"]
            row["mean"] = sum(durations) / len(durations) if durations else None
            row["acquired"] = known["acquired"][server["server"]]
            row["jobs"] = known["jobs"][server["server"]]
            table.append(row)
        return table

    def set_debug(self, debug: bool, verbose: bool | None = None) -> None:
        """Have nodes print into their logs what they start and stop; `verbose`: every call, too."""
        self._cluster.ask_all("debug", debug=debug, verbose=bool(verbose))

    def terminate(self, service: str | None = None) -> int:
        """End a service, by default all that this client has published; return how many.

        Who waits for it, and whose calls have not ended, gets ServiceEndedError. One that has been ended
        by somebody else meanwhile is none to end.
        """
        if service is not None:
            try:
                ended: int = self._cluster.ask_head("terminate", service=service)
            except UnknownServiceError:
                return 0
            self._published = [known for known in self._published if known != service]
            return ended
        count = 0
        known = {found["service"] for found in self.services()}
        for mine in self._published:
            if mine in known:
                count += self._cluster.ask_head("terminate", service=mine)
        self._published.clear()
        return count

    def close(self) -> None:
        """Close the connections to servers; what was acquired is given back by the head."""
        self._lines.close()

    def _acquire(self, service: str, count: int, timeout: float | None) -> list[Proxy]:
        ticket = uuid.uuid4().hex
        try:
            answer = self._cluster.ask_head(
                "acquire", service=service, ticket=ticket, count=count, timeout=timeout, first=False
            )
        except KeyboardInterrupt:  # or its turn would come, and nobody would be there
            self._cluster.spawn(
                self._cluster.ask_head_async("withdraw", service=service, ticket=ticket)
            )
            raise
        servers = sorted(answer["granted"], key=lambda server: int(server["rank"]))
        return [Proxy(self._lines, answer, server) for server in servers]


__all__ = ["Proxy", "Result", "Services", "call_on"]
