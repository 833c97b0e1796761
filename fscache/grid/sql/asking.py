"""Portions of a step asked of nodes, and asked again elsewhere where one dies.

A question to a node and its answer take 1.5 ms; the same as a task of the engine takes 16 (measured, two
workers, TLS on one host), of which most queries need two and some eight one after the other. The threads
are the engine's own, so queries and mappers still take turns on them. What the engine did for a task is
done here: a portion whose worker dies is asked of another one, unless it has seen several die.
"""

from __future__ import annotations

import threading
from concurrent.futures import FIRST_COMPLETED, CancelledError, wait
from typing import TYPE_CHECKING, Any, NamedTuple

from fscache.errors import ClusterError, HostDied
from fscache.grid.addresses import host_of
from fscache.grid.sql.worker import unpacked

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Future

    import pyarrow as pa

    from fscache.grid.cluster import Cluster, WorkerInfo
    from fscache.grid.sql.worker import Files

_DEATHS = 3  # workers that one portion may outlive: it may be what they die of
_LOOK = 1.0  # s without an answer, after which the head is asked who is still there
_CANCEL_WAIT = 0.5  # s to wait for the nodes' word that they have stopped


class Wanted(NamedTuple):
    """A portion: the worker that is to compute it, and the files it is of."""

    worker: str
    files: Files


class _Message(NamedTuple):
    """Portions that one worker is asked for, by number, and how many have died of them before it."""

    worker: str
    numbers: Sequence[int]
    deaths: int = 0


class Nodes:
    """The nodes that work for one query."""

    def __init__(self, cluster: Cluster, run: str, workers: Sequence[WorkerInfo]) -> None:
        self._cluster = cluster
        self._run = run
        self._alive = {worker.address: worker.node for worker in workers}
        self._dead: dict[str, str] = {}
        self._asked: set[Future[Any]] = set()
        self._stopped = threading.Event()

    def compute(
        self, task: bytes, portions: Sequence[Wanted], *, together: bool
    ) -> Iterator[tuple[int, pa.Table]]:
        """Yield the number and the rows of each portion, as they come.

        Args:
            task: What they have in common.
            portions: The portions, all to be computed at once.
            together: Ask a worker for all of its portions at once, so that the task goes there once.

        Raises:
            CancelledError: `stop` was called.
            HostDied: too many workers have died, or the last one.
            Exception: what a node raised.
        """
        by_worker: dict[str, list[int]] = {}
        for number, portion in enumerate(portions):
            by_worker.setdefault(portion.worker, []).append(number)
        messages = [
            _Message(worker, each)
            for worker, numbers in by_worker.items()
            for each in ([numbers] if together else [[number] for number in numbers])
        ]
        asked: dict[Future[Any], _Message] = {}
        try:
            while messages or asked:
                for turn, message in enumerate(messages):
                    sent = message._replace(worker=self._instead_of(message.worker, turn))
                    asked[self._ask(task, portions, sent)] = sent
                messages = []
                ended = wait(asked, _LOOK, FIRST_COMPLETED).done
                messages += self._left(asked) if not ended else []
                for future in ended:
                    message = asked.pop(future)
                    try:
                        answers = future.result()
                    except HostDied as died:
                        messages += self._anew(message, died)
                        continue
                    if None in answers:
                        raise CancelledError
                    for number, pieces in zip(message.numbers, answers, strict=True):
                        yield number, unpacked(b"".join(pieces))
        finally:
            for future in asked:  # enough rows have come, or a node failed
                future.cancel()

    def stop(self) -> None:
        """End all that is computed; from any thread."""
        if self._stopped.is_set():
            return
        self._stopped.set()
        try:
            self._cluster.ask_all(
                "cancel", at=list(self._alive), run=self._run, patience=_CANCEL_WAIT
            )
        except ClusterError:
            pass  # the head is gone, and so are its nodes
        finally:
            for future in list(self._asked):
                future.cancel()  # a node that does not end it is not waited for

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped.is_set()

    def _ask(self, task: bytes, portions: Sequence[Wanted], message: _Message) -> Future[Any]:
        files = [portions[number].files for number in message.numbers]
        question = self._cluster.ask_async(message.worker, "compute", task=task, portions=files)
        future = self._cluster.spawn(question)
        self._asked.add(future)
        future.add_done_callback(self._asked.discard)
        if self._stopped.is_set():
            future.cancel()
        return future

    def _left(self, asked: dict[Future[Any], _Message]) -> list[_Message]:
        """Return what to ask of others, since its worker is gone; take it out of `asked`."""
        here = self._cluster.addresses()
        gone = [future for future, message in asked.items() if message.worker not in here]
        messages: list[_Message] = []
        for future in gone:
            future.cancel()  # a new connection is tried for half a minute
            message = asked.pop(future)
            died = HostDied("it has left", host_of(message.worker), "a query")
            messages += self._anew(message, died)
        return messages

    def _anew(self, message: _Message, died: HostDied) -> list[_Message]:
        """Return what to ask of others, whose worker has died; raises `died` if it is of no use."""
        node = self._alive.pop(message.worker, None)
        if node is not None:
            self._dead[message.worker] = node
        if self._stopped.is_set():
            raise CancelledError from died
        if not self._alive:  # those that have come since the query began
            here = self._cluster.workers()
            self._alive = {w.address: w.node for w in here if w.address not in self._dead}
        if message.deaths == _DEATHS or not self._alive:
            raise died
        return [_Message(message.worker, [each], message.deaths + 1) for each in message.numbers]

    def _instead_of(self, worker: str, turn: int) -> str:
        """Return the worker, or one that lives: rather one of its node, which has its files."""
        if worker in self._alive:
            return worker
        left = list(self._alive)
        if not left:
            raise HostDied("every worker has died", host_of(worker), "a query")
        near = [each for each in left if self._alive[each] == self._dead[worker]] or left
        return near[turn % len(near)]
