"""Tables: named sets of Parquet objects, with schema, statistics, partitioning and placement.

A table is immutable: deploying anew under its name replaces it as a whole. What is known of it
(`Table`) is an entry in the root of whoever deployed it and of every node (`manifests`), so any program
of the cluster finds it by name. Where shards lie is a preference and no promise: a node that lacks one
pulls it.
"""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fscache.errors import TableError, UnknownTableError
from fscache.grid.copying import push
from fscache.grid.manifests import Manifests
from fscache.grid.placement import place
from fscache.grid.values import from_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pyarrow as pa

    from fscache.cache import Cache
    from fscache.grid.cluster import Cluster, WorkerInfo

_VERSION = 1


@dataclass(frozen=True, slots=True)
class ColumnStats:
    """What is known of one column of one shard.

    Attributes:
        low: Least value, NaN and nulls left aside, as `values` writes it; None if not known.
        high: Greatest value, likewise.
        nulls: How many there are; None if not known.
        nan: Whether there may be NaN; None if not known. Of a column without NaN only do `low` and
            `high` bound what SQL calls greater.
    """

    low: Any = None
    high: Any = None
    nulls: int | None = None
    nan: bool | None = None


@dataclass(frozen=True, slots=True)
class ShardInfo:
    """One shard: an object, and what is known of it. `size` in bytes; `nodes` hold it."""

    index: int
    address: str
    size: int
    rows: int
    stats: dict[str, ColumnStats]
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Partitioning:
    """How rows were dealt to shards.

    Attributes:
        kind: `none`: as they came; `range`: sorted by `by`, and shard i has the rows whose first key
            is from `bounds[i - 1]` up to, not including, `bounds[i]` (nulls and NaN in the last);
            `hash`: shard i has the rows for which `function` over `by` gives i.
        by: Column names.
        bounds: As `values` writes them.
        function: Of `hash`, with what defines it. Two tables are dealt alike only if this is equal.
    """

    kind: str = "none"
    by: tuple[str, ...] = ()
    bounds: tuple[Any, ...] = ()
    function: str = ""


@dataclass(frozen=True)
class Table:
    """Everything that is known of a table.

    Attributes:
        name: Of the table.
        ipc_schema: The Arrow schema, in Arrow's own form.
        shards: In order; there is always one, even if it has no rows.
        partitioning: How rows were dealt.
        deploy: Digest of what it was made of and how.
        source: Where it was made from, for people.
        created: When, seconds since the epoch.
        replicas: Copies that were asked for.
    """

    name: str
    ipc_schema: bytes
    shards: tuple[ShardInfo, ...]
    partitioning: Partitioning = field(default_factory=Partitioning)
    deploy: str = ""
    source: str = ""
    created: float = 0.0
    replicas: int = 1

    @cached_property
    def schema(self) -> pa.Schema:
        """The Arrow schema."""
        import pyarrow as pa

        return pa.ipc.read_schema(pa.BufferReader(self.ipc_schema))

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return sum(shard.rows for shard in self.shards)

    @property
    def size(self) -> int:
        """Bytes of all shards, once each."""
        return sum(shard.size for shard in self.shards)

    @property
    def addresses(self) -> list[str]:
        """The shards' addresses."""
        return [shard.address for shard in self.shards]

    def check_columns(self, names: Iterable[str]) -> None:
        """Raise KeyError for a column that is not there."""
        for name in names:
            if name not in self.schema.names:
                raise KeyError(f"table {self.name} has no column {name!r}: {self.schema.names}")

    def matching(self, where: Any = None) -> list[ShardInfo]:
        """Return the shards that may have rows for which an Arrow expression holds; at least one.

        SQL text leaves all shards in: what it calls true of NaN differs from column to column.
        """
        if where is None or isinstance(where, str):
            return list(self.shards)
        kept = [shard for shard in self.shards if _may_match(shard, self.schema, where)]
        return kept or [min(self.shards, key=lambda shard: shard.rows)]

    def encode(self) -> bytes:
        """Return the table as JSON."""
        fields = asdict(self)
        fields["ipc_schema"] = base64.b64encode(self.ipc_schema).decode("ascii")
        fields["version"] = _VERSION
        return json.dumps(fields, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, data: bytes) -> Table:
        """Read what `encode` has written.

        Raises:
            TableError: it was written by a newer version, or is none.
        """
        try:
            fields = json.loads(data)
            if fields.pop("version") != _VERSION:
                raise TableError("written by another version", fields.get("name", "?"))
            fields["ipc_schema"] = base64.b64decode(fields["ipc_schema"])
            fields["shards"] = tuple(map(shard_of, fields["shards"]))
            dealt = fields["partitioning"]
            fields["partitioning"] = Partitioning(
                dealt["kind"], tuple(dealt["by"]), tuple(dealt["bounds"]), dealt["function"]
            )
            return cls(**fields)
        except (ValueError, KeyError, TypeError) as exc:
            raise TableError(f"its entry cannot be read: {exc}", "?") from exc


def shard_of(fields: dict[str, Any]) -> ShardInfo:
    """Return a shard from its fields as JSON has them."""
    stats = {name: ColumnStats(**known) for name, known in fields["stats"].items()}
    return ShardInfo(**{**fields, "stats": stats, "nodes": tuple(fields["nodes"])})


def guarantee(shard: ShardInfo, schema: pa.Schema) -> pa.compute.Expression:
    """Return what holds for every row of a shard, as an Arrow expression."""
    import pyarrow as pa
    import pyarrow.dataset as ds

    known = ds.scalar(True)
    for name, stats in shard.stats.items():
        kind = schema.field(name).type
        if stats.low is None or stats.high is None:
            continue
        if stats.nan is not False and pa.types.is_floating(kind):
            continue  # `not x > 3` is true of NaN, which no bounds tell of
        column = ds.field(name)
        within = (column >= from_json(stats.low, kind)) & (column <= from_json(stats.high, kind))
        known &= within if stats.nulls == 0 else within | column.is_null()
    return known


def _may_match(shard: ShardInfo, schema: pa.Schema, where: Any) -> bool:
    import pyarrow.dataset as ds
    from pyarrow import fs

    # Arrow's own judgement of an expression under a guarantee; no file is looked at.
    fragment = ds.ParquetFileFormat().make_fragment(
        "/", filesystem=fs.LocalFileSystem(), partition_expression=guarantee(shard, schema)
    )
    dataset = ds.FileSystemDataset([fragment], schema, fragment.format)
    return any(True for _ in dataset.get_fragments(filter=where))


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
        columns: Sequence[str] | None = None,
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
            columns: Which to keep; all by default.

        Raises:
            TableSourceError: the source cannot be read as one table.
            TableExistsError: there is another table of this name.
        """
        from fscache.grid.deploy import Deploy

        by = (partition_by,) if isinstance(partition_by, str) else tuple(partition_by or ())
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
            columns=tuple(columns) if columns is not None else None,
        )
        known = self._look(name)
        if known is not None and known.deploy == work.id and known.replicas == replicas:
            return known
        if known is not None and known.deploy != work.id and not replace:
            from fscache.errors import TableExistsError

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
        for answer in self._cluster.ask_all("tables").values():
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
        return self._place(table, replicas or table.replicas)

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
            answers = self._cluster.ask_all("table", table=name).values()
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
            ShardInfo(shard.index, shard.address, shard.size, shard.rows, shard.stats, tuple(home))
            for shard, home in zip(table.shards, homes, strict=True)
        )
        result = Table(**{**_fields(table), "shards": placed, "replicas": replicas})
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


def _fields(table: Table) -> dict[str, Any]:
    names = (
        "name",
        "ipc_schema",
        "shards",
        "partitioning",
        "deploy",
        "source",
        "created",
        "replicas",
    )
    return {name: getattr(table, name) for name in names}
