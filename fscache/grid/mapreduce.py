"""Map-reduce over shards or URLs, from the caller's side: a `Run`.

A run sends portions of the work to the nodes that hold the data, and puts together what comes back in
the order of the table. A portion whose worker dies is run elsewhere, by the engine, and counts once: a
result is taken by the portion's key, and a portion has one result.

Small results come here and are reduced here; large ones are reduced where they lie first, those of one
worker with each other, then as a tree. Cancelling ends the wait at once and the work within a second.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from fscache.errors import HostDied
from fscache.grid import failure
from fscache.grid.aside import Aside
from fscache.grid.batches import Item, Stretch, merge, plan
from fscache.grid.pickles import dumps
from fscache.grid.runner import Job, Piece, ShardFailedError, run_batch, run_merge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fscache.grid.cluster import Cluster

_INLINE = 32 << 20  # bytes of all results together up to which they come here as they are
_FAN_IN = 8  # results in one step of the tree
_SCATTER = 64 << 10  # bytes of a job from which it is sent once to each worker instead of per task
_CANCEL_WAIT = 0.5  # s to wait for the nodes' word that they have stopped


class Progress(NamedTuple):
    """How far a run is; `total` does not change while it runs."""

    done: int
    total: int
    seconds: float


class Run:
    """One map-reduce under way."""

    def __init__(
        self,
        cluster: Cluster,
        run: str,
        job: dict[str, Any],
        pieces: list[Piece],
        weights: Sequence[float],
        *,
        threads: dict[str, int],
        finalizer: Callable[[Any], Any] | None,
        streaming: bool,
        progress: Callable[[Progress], None] | None,
        output: Callable[[str, str, str], None],
        on_end: Callable[[Run], None],
    ) -> None:
        """Start; see `Grid.map_reduce`. `job` has the fields of a `Job` without `run client chatty`."""
        self.id = run
        self._cluster = cluster
        self._finalizer = finalizer
        self._streaming = streaming
        self._progress = progress
        self._output = output
        self._on_end = on_end
        self._begun = time.monotonic()
        self._total = len(pieces)
        self._seen: set[int] = set()
        self._stream: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._aside = Aside()  # for progress and output
        self._outcome: Future[Any] = Future()
        self._outcome.set_running_or_notify_cancel()
        self._cancelled = threading.Event()
        self._keys: set[str] = set()
        self._reducer = job["reducer"]
        self._blob: Any = dumps(
            Job(**job, run=self.id, client=cluster.client, chatty=progress is not None)
        )
        if len(self._blob) > _SCATTER:
            self._blob = cluster.scatter(self._blob)
        cluster.on_message(self.id, partial(self._aside.post, self._tell))
        items = [
            Item(piece.number, weight, piece.holders)
            for piece, weight in zip(pieces, weights, strict=True)
        ]
        batches = plan(items, threads, single=streaming)
        self._portions = {
            f"{self.id}/{number}": [pieces[index].name for index in batch.indices]
            for number, batch in enumerate(batches)
        }
        self._futures = [
            cluster.submit(
                run_batch,
                self.id,
                self._blob,
                [pieces[index] for index in batch.indices],
                near=[batch.worker],
                key=f"{self.id}/{number}",
            )
            for number, batch in enumerate(batches)
        ]
        threading.Thread(target=self._follow, name=f"fscache run {self.id}", daemon=True).start()

    # -- for the caller -----------------------------------------------------------------------

    @property
    def progress(self) -> Progress:
        """How far it is."""
        return Progress(len(self._seen), self._total, time.monotonic() - self._begun)

    def done(self) -> bool:
        """Whether it has ended, well or not."""
        return self._outcome.done()

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the result; Ctrl-C cancels the run.

        Raises:
            Exception: what the mapper, reducer or finalizer raised, with the names of host and shard.
            CancelledError: the run was cancelled.
            HostDied: workers died again and again while they ran one portion.
            TimeoutError: `timeout` seconds passed; the run goes on.
        """
        try:
            return self._outcome.result(timeout)
        except KeyboardInterrupt:
            self.cancel()
            raise

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait for the end and return what would be raised, None if all went well."""
        return self._outcome.exception(timeout)

    def __iter__(self) -> Iterator[Any]:
        """Yield the value of each shard as it is finished, in no particular order."""
        if not self._streaming:
            raise TypeError("the run was not started with streaming=True")
        try:
            while (item := self._stream.get()) is not None:
                yield item[0]
            self.result()
        finally:
            if not self.done():
                self.cancel()  # whoever stops listening wants no more

    def cancel(self) -> None:
        """End it: waiters get CancelledError at once, mappers are stopped within a second."""
        if self.done():
            return
        self._cancelled.set()
        self._end(error=CancelledError())
        self._call_off()
        self._cluster.on_message(self.id, None)  # not before: mappers may print as they end

    # -- inside -------------------------------------------------------------------------------

    def _follow(self) -> None:
        try:
            self._collect()
        except CancelledError as exc:
            self._end(error=exc)
        except ShardFailedError as exc:
            self._fail(failure.unpack(exc.args[0]))
        except BaseException as exc:  # noqa: BLE001 - raised where the result is asked for
            self._fail(exc)

    def _collect(self) -> None:
        for future, value in self._cluster.finished(self._futures, values=self._streaming):
            if self._cancelled.is_set():
                return
            if isinstance(value, HostDied):
                names = self._portions[future.key]
                more = f" and {len(names) - 3} more" if len(names) > 3 else ""
                raise HostDied(value.why, value.host, ", ".join(names[:3]) + more)
            if isinstance(value, BaseException):
                raise value
            if self._streaming and future.key not in self._keys:
                for stretch in value:
                    self._stream.put((stretch.value,))
                    self._note(stretch.start)
            self._keys.add(future.key)
        if self._streaming:
            self._aside.flush()
            self._end(value=None)
            return
        stretches = merge(self._gather(), self._reducer)
        if self._cancelled.is_set():
            return
        covered = sum(stretch.end - stretch.start for stretch in stretches)
        if covered != self._total:
            raise HostDied(f"{self._total - covered} shards have no result", "a worker", "a run")
        values = [stretch.value for stretch in stretches]
        outcome = values if self._reducer is None else values[0]
        if self._finalizer is not None:
            outcome = self._finalizer(outcome)
        self._aside.post(self._tell, {"kind": "end"})
        self._aside.flush()
        self._end(value=outcome)

    def _gather(self) -> list[Stretch]:
        """Bring the results here, reduced there first where they are large."""
        futures = self._futures
        level = 0
        while self._reducer is not None and len(futures) > 1:
            if self._cluster.size(futures) <= _INLINE:
                break
            groups = self._groups(futures, by_worker=level == 0)
            if len(groups) == len(futures):
                break
            futures = [
                self._cluster.submit(
                    run_merge, self.id, self._blob, *group, key=f"{self.id}/m{level}.{number}"
                )
                for number, group in enumerate(groups)
            ]
            for _future, error in self._cluster.finished(futures, values=False):
                if error is not None:
                    raise error
            level += 1
        return [stretch for part in self._cluster.gather(futures) for stretch in part]

    def _groups(self, futures: list[Any], *, by_worker: bool) -> list[list[Any]]:
        if by_worker:
            places: dict[str, list[Any]] = {}
            for future, holder in zip(futures, self._cluster.holders(futures), strict=True):
                places.setdefault(holder, []).append(future)
            if len(places) < len(futures):
                return list(places.values())
        return [futures[at : at + _FAN_IN] for at in range(0, len(futures), _FAN_IN)]

    def _tell(self, message: dict[str, Any]) -> None:
        """Pass on what a node says; what `output` or `progress` raises ends the run."""
        try:
            if message["kind"] == "print":
                self._output(message["host"], message["name"], message["text"])
            elif message["kind"] == "end":
                self._seen.update(range(self._total))
                self._report()
            elif not self._streaming:
                self._note(message["index"])
        except BaseException as exc:  # noqa: BLE001 - raised where the result is asked for
            self._fail(exc)

    def _note(self, index: int) -> None:
        if index not in self._seen:  # a portion that ran again tells again
            self._seen.add(index)
            self._report()

    def _report(self) -> None:
        if self._progress is not None:
            self._progress(self.progress)

    def _fail(self, error: BaseException) -> None:
        self._aside.flush()  # what was printed comes before what was raised
        if self.done():
            return
        self._end(error=error)
        self._call_off()

    def _call_off(self) -> None:
        """Stop what runs; a cluster that is closed meanwhile has stopped it."""
        with suppress(OSError, RuntimeError):
            self._cluster.cancel(self._futures)
            self._cluster.ask_all("cancel", run=self.id, patience=_CANCEL_WAIT)

    def _end(self, *, value: Any = None, error: BaseException | None = None) -> None:
        try:
            if error is not None:
                self._outcome.set_exception(error)
            else:
                self._outcome.set_result(value)
        except Exception:  # noqa: BLE001 - it has ended already, in another thread
            return
        self._stream.put(None)
        if not self._cancelled.is_set():
            self._cluster.on_message(self.id, None)
        self._on_end(self)


def to_stdout(host: str, name: str, text: str) -> None:
    """Show what a mapper has printed: each line behind the names of host and shard."""
    lines = "".join(f"[{host} {name}] {line}\n" for line in text.split("\n"))
    sys.stdout.write(lines)
    sys.stdout.flush()
