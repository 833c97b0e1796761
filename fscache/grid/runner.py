"""The mapping side of map-reduce, on a node: shards in, a reduced value out.

A mapper runs in a thread of its own while the engine's thread waits, for two reasons. Cancelling raises
in that thread, which ends a loop in Python at once; and where it does not (a sleep, a long call into a
library), the engine's thread leaves it behind and is free for the next task, within a second whatever
the mapper does. The one that is left behind ends when it comes back to Python.

What a mapper prints goes to whoever runs it, line by line. What it raises is raised there, with the
names of host and shard.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections import OrderedDict
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from fscache.grid import failure
from fscache.grid.batches import Stretch, append, merge
from fscache.grid.pickles import loads
from fscache.grid.shards import Shard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import TextIO

    from fscache.grid.node import Node

_REMEMBERED = 16  # runs whose mapper stays unpickled; and whose cancellation is known


class Cancelled(BaseException):  # no error, and no `except Exception` must catch it
    """Raised in a mapper's thread when its run is cancelled."""


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
        self._works: set[_Work | _Guest] = set()
        _Router.install()

    def execute(self, run: str, blob: bytes, pieces: list[Piece]) -> list[Stretch]:
        """Map and reduce pieces; called in a thread of the engine's.

        Raises:
            ShardFailedError: with what the mapper or the reducer raised.
        """
        work = _Work(lambda: self._map(self._job(run, blob), pieces), run, run.rpartition("/")[0])
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
        guest = _Guest(run, run.rpartition("/")[0], stop)
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
            with _Router.to(partial(tell, "print")):
                try:
                    value = job.mapper(_subject(job, piece, node))
                    append(done, Stretch(piece.number, piece.number + 1, value), job.reducer)
                except Cancelled:
                    raise
                except BaseException as exc:  # noqa: BLE001 - SystemExit, too, must reach the caller
                    notes = (f"in {piece.name} on {node.host} (worker {node.link.name})",)
                    raise ShardFailedError(failure.pack(exc, node.host, notes)) from None
            if job.chatty:
                tell("shard")
        return done


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


class _Guest:
    """Work that somebody else does here, and that can be stopped."""

    def __init__(self, name: str, owner: str, cancel: Callable[[], None]) -> None:
        self.name = name
        self.owner = owner
        self.cancel = cancel


class _Work:
    """One task: a thread that does it, and one that waits and can stop waiting."""

    def __init__(self, function: Callable[[], list[Stretch]], name: str, owner: str) -> None:
        self.name = name
        self.owner = owner
        self._function = function
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._inside = False  # whether an exception raised in the thread hits the user's code
        self._cancelled = False
        self._value: list[Stretch] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._do, name=f"fscache {name}", daemon=True)

    def run(self) -> list[Stretch]:
        """Do it and wait."""
        self._thread.start()
        self._ended.wait()
        if self._cancelled:
            return []
        if self._error is not None:
            raise self._error
        return self._value

    def cancel(self) -> None:
        """Raise Cancelled in the thread, and let go whoever waits."""
        with self._lock:
            self._cancelled = True
            if self._inside and self._thread.ident is not None:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(self._thread.ident), ctypes.py_object(Cancelled)
                )
        self._ended.set()

    def _do(self) -> None:
        try:
            with self._lock:
                if self._cancelled:
                    return
                self._inside = True
            try:
                self._value = self._function()
            finally:
                with self._lock:
                    self._inside = False
        except Cancelled:
            pass
        except BaseException as exc:  # noqa: BLE001 - raised in the thread that waits
            self._error = exc
        self._ended.set()


class _Router:
    """Stands for sys.stdout and sys.stderr, and sends each thread's text where it belongs."""

    _local = threading.local()

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @classmethod
    def install(cls) -> None:
        """Stand in front of the process's streams; once."""
        for name in ("stdout", "stderr"):
            if not isinstance(getattr(sys, name), cls):
                setattr(sys, name, cls(getattr(sys, name)))

    @classmethod
    def to(cls, sink: Callable[[str], None]) -> _Routed:
        """`with _Router.to(sink):` sends what this thread prints to `sink`, by whole lines."""
        return _Routed(cls._local, sink)

    def write(self, text: str) -> int:
        """Take text."""
        routed = getattr(self._local, "routed", None)
        if routed is None:
            return self._stream.write(text)
        routed.write(text)
        return len(text)

    def writelines(self, lines: Iterator[str]) -> None:
        """Take lines."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Routed:
    def __init__(self, local: threading.local, sink: Callable[[str], None]) -> None:
        self._local = local
        self._sink = sink
        self._rest = ""

    def __enter__(self) -> None:
        self._local.routed = self

    def __exit__(self, *_exc: object) -> None:
        self._local.routed = None
        if self._rest:
            self._sink(self._rest)

    def write(self, text: str) -> None:
        """Take text; pass on the lines that are whole."""
        whole, newline, self._rest = (self._rest + text).rpartition("\n")
        if newline:
            self._sink(whole)
