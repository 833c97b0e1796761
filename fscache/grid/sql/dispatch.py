"""The steps of one query on a cluster: which worker gets which files, in rounds, and what it is told."""

from __future__ import annotations

from concurrent.futures import CancelledError
from typing import TYPE_CHECKING

from fscache.grid.batches import Item
from fscache.grid.pickles import dumps
from fscache.grid.sql.asking import Nodes, Wanted
from fscache.grid.sql.portions import Portion, rounds
from fscache.grid.sql.prepare import timezone
from fscache.grid.sql.sandbox import excess
from fscache.grid.sql.worker import Task, packed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import pyarrow as pa

    from fscache.grid.cluster import Cluster, WorkerInfo
    from fscache.grid.sql.execute import Bound, Rows
    from fscache.grid.sql.facts import Step
    from fscache.grid.table import Table

_MEMORY = 0.4  # part of a host's memory for all portions that run there at once


class Portions:
    """The `Workers` of one query on a cluster."""

    def __init__(
        self,
        cluster: Cluster,
        run: str,
        bound: Bound,
        tables: Mapping[str, Table | None],
        workers: list[WorkerInfo],
        *,
        gather: int,
        single: bool,
        on_done: Callable[[int], None],
    ) -> None:
        self._cluster = cluster
        self._run = run
        self._bound = bound
        self._tables = {name: table for name, table in tables.items() if table is not None}
        self._workers = workers
        self._limit = gather
        self._single = single
        self._on_done = on_done
        self._nodes = Nodes(cluster, run, workers)

    def count(self, step: Step) -> int:
        """Return how many shards a step has, as progress counts them."""
        names = list(step.parts.values())
        if step.portions is not None:
            return len(step.portions.numbers)
        return len(self._tables[names[0]].shards) if names else 1

    def run(self, step: Step, inputs: Mapping[str, Rows]) -> Iterator[pa.Table]:
        """Run a step; yield the rows of its portions."""
        threads = {worker.address: worker.threads for worker in self._workers}
        planned = rounds(self._items(step), threads, single=self._single)
        task = dumps(self._task(step, inputs, planned))
        for portions in planned:
            if self._nodes.stopped:
                raise CancelledError
            wanted = [
                Wanted(
                    portion.worker,
                    {
                        relation: self._files(name, portion.shards)
                        for relation, name in step.parts.items()
                    },
                )
                for portion in portions
            ]
            values: dict[int, pa.Table] = {}
            size = 0
            for number, rows in self._nodes.compute(task, wanted, together=not self._single):
                self._on_done(len(portions[number].shards))
                if self._single:
                    yield rows
                    continue
                values[number] = rows
                size += rows.nbytes
                if (error := excess(size, self._limit)) is not None:
                    raise error  # the rest of the round must not come as well
            for number in sorted(values):
                yield values[number]

    def stop(self) -> None:
        """End all that runs."""
        self._nodes.stop()

    def _task(self, step: Step, inputs: Mapping[str, Rows], planned: list[list[Portion]]) -> Task:
        hosts: dict[str, int] = {}
        for worker in self._workers:
            hosts[worker.host] = hosts.get(worker.host, 0) + worker.threads
        (first, *more), *rest = planned
        worker = next(each for each in self._workers if each.address == first.worker)
        # What one worker does alone may use the threads that the others of its host leave idle.
        alone = not more and not rest
        return Task(
            self._run,
            self._cluster.client,
            step.sql,
            dict(self._bound.parameters),
            {
                relation: self._files(name, chosen.numbers if chosen else None)
                for relation, name, chosen in step.whole_shards
            },
            {name: (packed(table), tuple(types)) for name, (table, types) in inputs.items()},
            timezone(),
            hosts[worker.host] if alone else worker.threads,
            _MEMORY / max(hosts.values()),
            self._limit,
            step.each,
        )

    def _items(self, step: Step) -> list[Item]:
        names = list(step.parts.values())
        if not names:
            # One worker does it all: rather the one that has the most of it.
            table = max((self._tables[name] for name in step.wholes.values()), key=_size)
            return [Item(0, 1.0, self._holders(table.shards[0].nodes))]
        first = self._tables[names[0]]
        return [
            Item(
                index,
                float(sum(self._tables[name].shards[index].size for name in set(names))),
                self._holders(shard.nodes),
            )
            for index, shard in enumerate(first.shards)
            if step.portions is None or index in step.portions.numbers
        ]

    def _files(self, name: str, chosen: Sequence[int] | None) -> list[tuple[str, list[str]]]:
        shards = self._tables[name].shards
        return [
            (shards[index].address, self._holders(shards[index].nodes))
            for index in (range(len(shards)) if chosen is None else chosen)
        ]

    def _holders(self, nodes: Iterable[str]) -> list[str]:
        return [worker.address for worker in self._workers if worker.node in nodes]


def _size(table: Table) -> int:
    return table.size
