"""What is known of a table: schema, statistics, partitioning and placement of its shards.

A `Table` is a value: it says what was so when it was made, is written and read as JSON, and asks nobody.
What it knows of values serves to leave shards out, never to answer: statistics may be missing, and where
NaN is not excluded they bound nothing.
"""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from fscache.errors import TableError
from fscache.grid.values import from_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

_VERSION = 1
_KEPT = (
    16  # tables that stay decoded: a millisecond each, and every query looks at all of its tables
)


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
    @lru_cache(_KEPT)
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
