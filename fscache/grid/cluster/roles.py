"""What a process is to the engine: a scheduler, of its own or within a program, or a worker.

Each role listens with the cluster's certificates and shows no pages; what the grid adds to it
(`fscache.grid.attach`) stands beside it, brought by plugins. A role ends when it is told to, a worker
also when its scheduler is gone; signals and exit codes are `daemon`'s.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import dask
import distributed
from distributed.diagnostics.plugin import SchedulerPlugin, WorkerPlugin

from fscache.grid import attach
from fscache.grid.addresses import host_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from fscache.grid.tls import KeyPair

_HTTP = "127.0.0.1:0"
"""Where the engine's HTTP server listens, which cannot be left out: it knows neither TLS nor passwords,
so it is given no routes (`_quiet`), and nobody but this host."""
_TRIES, _PAUSE = 50, 0.02  # s


def _quiet() -> AbstractContextManager[object]:
    """Make the engine say, show and look after itself no more than it must; as a context, for a while.

    Its own profiler looks at every thread a hundred times a second, and its event loops at themselves
    fifty times: an idle worker took 4 % of a core, without them 1 %. Nobody could see what they find.
    """
    logging.getLogger("distributed").setLevel(logging.WARNING)
    quiet: AbstractContextManager[object] = dask.config.set(
        {
            "distributed.scheduler.http.routes": [],
            "distributed.worker.http.routes": [],
            "distributed.worker.profile.enabled": False,
            "distributed.admin.tick.interval": "500ms",
        }
    )
    return quiet


def security(pair: KeyPair | None) -> distributed.Security:
    """Return the engine's form of a key pair; None is a cluster without protection."""
    if pair is None:
        return distributed.Security(require_encryption=False)
    roles = ("scheduler", "worker", "client")
    files = {
        f"tls_{role}_{part}": getattr(pair, part) for role in roles for part in ("cert", "key")
    }
    return distributed.Security(tls_ca_file=pair.ca, require_encryption=True, **files)


class HeadPlugin(attach.Head, SchedulerPlugin):  # type: ignore[misc]  # Dask's classes are untyped here
    """Attaches a registry to a scheduler; the first client brings it, the others find it."""

    name = "fscache-head"
    idempotent = True


class NodePlugin(attach.Worker, WorkerPlugin):  # type: ignore[misc]  # as above
    """Attaches a node to a worker; one that the worker was started with stays."""

    name = "fscache-node"
    idempotent = True


def embedded_head(pair: KeyPair, host: str) -> distributed.LocalCluster:
    """Start a scheduler in this process, without workers; `close` ends it."""
    with _quiet():  # the program may have clusters of its own
        return distributed.LocalCluster(
            n_workers=0,
            processes=True,
            protocol="tls://",
            host=host,
            security=security(pair),
            dashboard_address=_HTTP,
            scheduler_kwargs={"dashboard": False},
            silence_logs=logging.CRITICAL,
        )


def close_head(cluster: distributed.LocalCluster) -> None:
    """End an embedded scheduler.

    What it says to workers goes first. The engine gives up a connection that is being made when its
    worker leaves, and once more when the scheduler closes; where both come at once the second fails, and
    closing ends half-way, with sockets left open. A moment later it does not fail.
    """
    cluster.sync(_let_go, cluster.scheduler.rpc)
    cluster.close(timeout=5)


async def _let_go(connections: distributed.core.ConnectionPool) -> None:
    for _ in range(_TRIES):
        if not connections._connecting:  # noqa: SLF001 - what is given up half-way leaves its socket open
            break
        await asyncio.sleep(_PAUSE)
    for _ in range(_TRIES):
        try:
            await connections.close()
        except RuntimeError:
            await asyncio.sleep(_PAUSE)
        else:
            return


async def serve_worker(
    head: str,
    pair: KeyPair | None,
    *,
    name: str,
    threads: int,
    root: str | None,
    temp: str | None,
    scratch: str,
    ready: Callable[[str], None],
) -> None:
    """Be a worker of the scheduler at `head` until told to leave or the scheduler is gone."""
    _quiet()
    worker = distributed.Worker(
        head,
        # A cluster of one machine is reached from nowhere else.
        host="127.0.0.1" if host_of(head).startswith("127.") else None,
        nthreads=threads,
        name=name,
        security=security(pair),
        local_directory=scratch,
        dashboard=False,
        dashboard_address=_HTTP,
        plugins=(NodePlugin(root, temp),),
        death_timeout=60,
    )
    async with worker:
        ready(worker.address)
        await worker.finished()


async def serve_head(
    host: str, port: int, pair: KeyPair | None, *, ready: Callable[[str], None]
) -> None:
    """Be a scheduler until told to end."""
    _quiet()
    scheduler = distributed.Scheduler(
        protocol="tls" if pair else "tcp",
        host=host,
        port=port,
        security=security(pair),
        dashboard=False,
        dashboard_address=_HTTP,
    )
    async with scheduler:
        scheduler.add_plugin(plugin := HeadPlugin(), name=plugin.name, idempotent=True)
        await plugin.start(scheduler)
        ready(scheduler.address)
        await scheduler.finished()
