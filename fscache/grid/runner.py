"""The mapping side of map-reduce, on a node: shards in, a reduced value out.

A mapper runs in a thread of its own while the engine's thread waits (`interrupt`): so whatever the mapper
does, the engine's thread is free for the next task within a second of a cancel.

What a mapper prints goes to whoever runs it, line by line (`prints`). What it raises is raised there,
with the names of host and shard.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from fscache.grid import failure
from fscache.grid.batches import Stretch, append, merge
from fscache.grid.interrupt import Cancelled, Guest, Work
from fscache.grid.pickles import check, loads
from fscache.grid.prints import Router
from fscache.grid.shards import Shard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fscache.grid.node import Node

_REMEMBERED = 16  # runs whose mapper stays unpickled; and whose cancellation is known


class ShardFailedError(Exception):
    """Carries what a mapper raised, as `failure.pack` made it."""

    def __repr__(self) -> str:
        message = self.args[0]
        return f"{message['kind']}: {message['text']} ({'; '.join(message['notes'])})"


class Job(NamedTuple):
    """What every node needs to know of a run."""

    run: str
    client: str
    mapper: Callable[[Any], Any]
    reducer: Callable[[Any, Any], Any] | None
    columns: Sequence[str] | None
    where: Any
    shared: Any
    chatty: bool
    """Whether each finished shard is to be told."""


class Piece(NamedTuple):
    """A shard, or a URL, to be mapped."""

    number: int
    name: str
    address: str
    """Of the object; empty for a URL, which `name` then is."""
    holders: list[str]


class Runs:
    """The runs that a node works for."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._cancelled: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()
        self._works: set[Work | Guest] = set()
        Router.install()

    def execute(self, run: str, blob: bytes, pieces: list[Piece]) -> list[Stretch]:
        """Map and reduce pieces; called in a thread of the engine's.

        Raises:
            ShardFailedError: with what the mapper or the reducer raised.
        """
        work = Work(lambda: self._map(self._job(run, blob), pieces), run, run.rpartition("/")[0])
        with self._lock:
            if run in self._cancelled or work.owner in self._cancelled:
                return []
            self._works.add(work)
        try:
            return work.run()
        finally:
            with self._lock:
                self._works.discard(work)

    @contextmanager
    def during(self, run: str, stop: Callable[[], None]) -> Iterator[None]:
        """Have `stop` called if the run, or all of its client, is cancelled meanwhile or has been."""
        guest = Guest(run, run.rpartition("/")[0], stop)
        with self._lock:
            known = run in self._cancelled or guest.owner in self._cancelled
            self._works.add(guest)
        if known:
            stop()
        try:
            yield
        finally:
            with self._lock:
                self._works.discard(guest)

    def reduce(self, run: str, blob: bytes, stretches: list[Stretch]) -> list[Stretch]:
        """Put stretches together, as `execute` maps."""
        job = self._job(run, blob)
        try:
            return merge(stretches, job.reducer)
        except Exception as exc:  # noqa: BLE001 - a user's reducer
            notes = (f"in the reducer on {self._node.host}",)
            raise ShardFailedError(failure.pack(exc, self._node.host, notes)) from None

    def cancel(self, run: str | None = None, owner: str | None = None) -> int:
        """End a run, or all of a client, here; return how many tasks that stopped."""
        name = run or owner or ""
        with self._lock:
            self._cancelled[name] = None
            while len(self._cancelled) > _REMEMBERED * 16:
                self._cancelled.popitem(last=False)
            works = [work for work in self._works if name in (work.name, work.owner)]
        for work in works:
            work.cancel()
        return len(works)

    def _job(self, run: str, blob: bytes) -> Job:
        with self._lock:
            job = self._jobs.get(run)
        if job is None:
            job = loads(blob)
            with self._lock:
                self._jobs[run] = job
                while len(self._jobs) > _REMEMBERED:
                    self._jobs.popitem(last=False)
        return job

    def _map(self, job: Job, pieces: list[Piece]) -> list[Stretch]:
        node = self._node
        done: list[Stretch] = []
        for piece in pieces:
            tell = _teller(job, piece, node)
            with Router.to(partial(tell, "print")):
                try:
                    value = job.mapper(_subject(job, piece, node))
                    append(done, Stretch(piece.number, piece.number + 1, value), job.reducer)
                except Cancelled:
                    raise
                except BaseException as exc:  # noqa: BLE001 - SystemExit, too, must reach the caller
                    raise self._failed(exc, f"in {piece.name}") from None
            if job.chatty:
                tell("shard")
        names = {piece.number: piece.name for piece in pieces}
        for stretch in done:
            try:
                # The engine would log it as a fault of its own, and know nothing of shards.
                check(stretch.value)
            except Exception as exc:  # noqa: BLE001 - pickling runs users' code
                first, last = names[stretch.start], names[stretch.end - 1]
                where = f"in {first}" if first == last else f"in {first} to {last}"
                unfit = TypeError(f"the value is none that can be sent: {exc}")
                raise self._failed(unfit, where) from None
        return done

    def _failed(self, exc: BaseException, where: str) -> ShardFailedError:
        node = self._node
        notes = (f"{where} on {node.host} (worker {node.link.name})",)
        return ShardFailedError(failure.pack(exc, node.host, notes))


def run_batch(run: str, blob: bytes, pieces: list[Piece]) -> list[Stretch]:
    """Do a portion of a run; what the engine is given to call."""
    from fscache.grid.node import current

    return current().runs.execute(run, blob, pieces)


def run_merge(run: str, blob: bytes, *parts: list[Stretch]) -> list[Stretch]:
    """Put results together where they lie; what the engine is given to call."""
    from fscache.grid.node import current

    return current().runs.reduce(run, blob, [stretch for part in parts for stretch in part])


def _subject(job: Job, piece: Piece, node: Node) -> Any:
    if not piece.address:
        return node.urls.get(piece.name)
    path = node.holdings.path(piece.address, piece.holders)
    return Shard(
        path,
        name=piece.name,
        index=piece.number,
        columns=job.columns,
        where=job.where,
        shared=job.shared,
    )


def _teller(job: Job, piece: Piece, node: Node) -> Callable[..., None]:
    def tell(kind: str, text: str = "") -> None:
        message = {"topic": job.run, "kind": kind, "host": node.host, "name": piece.name}
        node.link.tell(job.client, {**message, "index": piece.number, "text": text})

    return tell
