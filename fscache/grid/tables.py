"""The tables of a cluster: named sets of Parquet objects, deployed, found, placed, checked and dropped.

A table is immutable: deploying anew under its name replaces it as a whole. What is known of it
(`table.Table`) is an entry in the root of whoever deployed it and of every node (`manifests`), so any
program of the cluster finds it by name. Where shards lie is a preference and no promise: a node that
lacks one pulls it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fscache.errors import TableExistsError, TableSourceError, UnknownTableError
from fscache.grid.copying import push
from fscache.grid.hosts import listed
from fscache.grid.links import PATIENCE
from fscache.grid.manifests import Manifests
from fscache.grid.placement import place
from fscache.grid.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fscache.cache import Cache
    from fscache.grid.cluster import Cluster, WorkerInfo


class Tables:
    """The tables of a cluster."""

    def __init__(self, cluster: Cluster, cache: Cache) -> None:
        self._cluster = cluster
        self._cache = cache
        self._manifests = Manifests(cache.root)

    def deploy(
        self,
        source: str,
        name: str,
        partition_by: str | Sequence[str] | None = None,
        replicas: int = 1,
        *,
        how: str = "range",
        like: str | Table | None = None,
        shards: int | None = None,
        shard_size: int = 64 << 20,
        replace: bool = False,
        columns: str | Sequence[str] | None = None,
    ) -> Table:
        """Make a table of files, and place its shards on the nodes.

        A deploy that was interrupted goes on where it was; one that is already done does nothing.

        Args:
            source: A file, or a directory with files of one kind: Parquet, CSV (`.csv`, `.csv.gz`),
                FITS (the first table), NumPy (`.npy`, `.npz`).
            name: Of the table.
            partition_by: Columns to deal the rows to shards by; as they come, by default.
            replicas: Nodes that are to have each shard.
            how: `range` sorts by the columns, `hash` brings equal keys together.
            like: A table whose ranges to take over, so that equal keys lie in shards of equal number.
            shards: How many there are to be; by default, as many as `shard_size` makes.
            shard_size: In bytes. Parquet files between half and twice of it are kept as they are.
            replace: Take the place of another table of this name.
            columns: Which to keep, or one; all by default.

        Raises:
            TableSourceError: the source cannot be read as one table, or a number is less than 1.
            TableExistsError: there is another table of this name.
        """
        from fscache.grid.deploy import Deploy

        _check(replicas, name)
        by = tuple(listed(partition_by or ()))
        model = self.show(like) if isinstance(like, str) else like
        work = Deploy(
            self._cache,
            self._manifests,
            source,
            name,
            by=by,
            how=how,
            like=model,
            shards=shards,
            shard_size=shard_size,
            columns=None if columns is None else tuple(listed(columns)),
        )
        known = self._look(name)
        if known is not None and known.deploy == work.id and known.replicas == replicas:
            return known
        if known is not None and known.deploy != work.id and not replace:
            raise TableExistsError("there is another one; drop it, or replace it", name)
        made = work.run()
        table = self._place(made, replicas)
        work.clear()
        if known is not None:
            self._unpin(known, keep=set(table.addresses))
        return table

    def ls(self) -> list[Table]:
        """Return all tables that this program or any node knows, by name."""
        names = set(self._manifests.names())
        for answer in self._cluster.ask_all("tables", patience=PATIENCE).values():
            if not isinstance(answer, BaseException):
                names.update(answer)
        return [table for table in map(self._look, sorted(names)) if table is not None]

    def show(self, name: str) -> Table:
        """Return a table; raises UnknownTableError."""
        found = self._look(name)
        if found is None:
            raise UnknownTableError("there is none of this name", name)
        return found

    def drop(self, name: str) -> None:
        """Forget a table everywhere; its objects are left to a purge. Raises UnknownTableError."""
        table = self.show(name)
        self._unpin(table, keep=set(), forget=True)

    def rebalance(self, name: str, replicas: int | None = None) -> Table:
        """Place a table's shards on the nodes that are there now, evenly; return it as it is then."""
        table = self.show(name)
        count = table.replicas if replicas is None else replicas
        _check(count, name)
        return self._place(table, count)

    def verify(self, name: str) -> dict[str, dict[str, str]]:
        """Hash every copy of every shard again.

        Returns:
            What is wrong, by node and address; bad copies are in quarantine there, and `rebalance`
            brings good ones.
        """
        table = self.show(name)
        wrong = {}
        for node, worker in self._nodes().items():
            mine = [shard.address for shard in table.shards if node in shard.nodes]
            found = self._cluster.ask(worker.address, "verify", addresses=mine)
            if found:
                wrong[node] = found
        return wrong

    # -- inside -------------------------------------------------------------------------------

    def _look(self, name: str) -> Table | None:
        data = self._manifests.read(name)
        if data is None:
            answers = self._cluster.ask_all("table", patience=PATIENCE, table=name).values()
            data = next((answer for answer in answers if isinstance(answer, bytes)), None)
        return None if data is None else Table.decode(data)

    def _nodes(self) -> dict[str, WorkerInfo]:
        """Return one worker of each node; those of one node have one root."""
        return {worker.node: worker for worker in reversed(self._cluster.workers())}

    def _place(self, table: Table, replicas: int) -> Table:
        nodes = self._nodes()
        order = sorted(nodes)
        homes = place([shard.size for shard in table.shards], order, replicas)
        holders: dict[str, list[str]] = {address: [] for address in table.addresses}
        for node in order:
            has = self._cluster.ask(nodes[node].address, "has", addresses=table.addresses)
            for address, here in zip(table.addresses, has, strict=True):
                if here:
                    holders[address].append(nodes[node].address)
        for node in order:
            mine = [
                shard.address
                for shard, home in zip(table.shards, homes, strict=True)
                if node in home
            ]
            wanted = [
                (address, holders[address])
                for address in mine
                if nodes[node].address not in holders[address]
            ]
            if not wanted:
                continue
            for address in self._cluster.ask(nodes[node].address, "fetch", wanted=wanted):
                push(self._cluster, self._cache, nodes[node].address, address)
        placed = tuple(
            replace(shard, nodes=tuple(home))
            for shard, home in zip(table.shards, homes, strict=True)
        )
        result = replace(table, shards=placed, replicas=replicas)
        self._record(result, nodes)
        return result

    def _record(self, table: Table, nodes: dict[str, WorkerInfo]) -> None:
        data = table.encode()
        for node, worker in nodes.items():
            mine = [shard.address for shard in table.shards if node in shard.nodes]
            others = sorted(set(table.addresses) - set(mine))
            self._cluster.ask(
                worker.address, "record", table=table.name, data=data, mine=mine, others=others
            )
        self._manifests.write(table.name, data)

    def _unpin(self, table: Table, *, keep: set[str], forget: bool = False) -> None:
        for other in self.ls():
            if other.name != table.name:
                keep |= set(other.addresses)
        unpin = sorted(set(table.addresses) - keep)
        for worker in self._nodes().values():
            if forget:
                self._cluster.ask(worker.address, "forget", table=table.name, unpin=unpin)
            else:
                self._cluster.ask(worker.address, "unpin", addresses=unpin)
        self._manifests.unpin(unpin)
        if forget:
            self._manifests.remove(table.name)


def _check(replicas: int, table: str) -> None:
    if replicas < 1:  # no node would keep any of it
        raise TableSourceError(f"replicas are 1 or more, not {replicas}", table)
