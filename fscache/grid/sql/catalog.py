"""What there is to query: tables of the grid, and URLs, as the planner sees them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from fscache.grid.engine import literal, parquet
from fscache.grid.sql.facts import Key, Source
from fscache.grid.sql.sandbox import Setting, connect
from fscache.grid.sql.spans import Spans
from fscache.grid.values import from_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    import duckdb

    from fscache.grid.table import Table

# Of floating point, equal values may be written in more than one way (-0.0, NaN); of nested values, too.
_KEY_TYPES = {
    *("BIGINT", "DATE", "HUGEINT", "INTEGER", "SMALLINT", "TIMESTAMP", "TINYINT", "UBIGINT"),
    *("UINTEGER", "USMALLINT", "UTINYINT", "VARCHAR"),
}


def source_of(name: str, table: Table, columns: dict[str, str]) -> Source:
    """Return what the planner needs to know of a table, whose columns have these types in DuckDB."""
    return Source(
        name,
        columns,
        table.rows,
        table.size,
        len(table.shards),
        _key(table, columns),
        Spans(table.shards, columns),
    )


def folded(name: str, names: Iterable[str]) -> str | None:
    """Return the only one of the tables' names that differs from a name in case alone, if any."""
    found = [each for each in names if each.lower() == name.lower()]
    return found[0] if len(found) == 1 else None


def file_source(name: str, path: str, columns: dict[str, str]) -> Source:
    """Return what the planner needs to know of a URL whose bytes lie here."""
    return Source(name, columns, size=os.path.getsize(path))


def reader(name: str, path: str) -> str:
    """Return what reads the file of a URL, as SQL has it; by the URL's ending, Parquet by default."""
    ending = _bare(name).removesuffix(".gz").removesuffix(".zst")
    packed = _packed(name)
    if ending.endswith((".csv", ".tsv")):
        return f"read_csv({literal(path)}{packed})"
    if ending.endswith((".json", ".ndjson", ".jsonl")):
        return f"read_json_auto({literal(path)}{packed})"
    return parquet([path])


def described(connection: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    """Return the types of a relation's columns, as DuckDB writes them."""
    rows = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()  # noqa: S608 - ours
    return {str(row[0]): str(row[1]) for row in rows}


def columns_of(path: str, directories: tuple[str, ...]) -> dict[str, str]:
    """Return the types that DuckDB sees in a Parquet file in these directories."""
    with connect(Setting(threads=1, directories=directories)) as connection:
        return described(connection, parquet([path]))


def _bare(url: str) -> str:
    return url.split("?", maxsplit=1)[0].split("#", maxsplit=1)[0].lower()


def _packed(name: str) -> str:
    # Objects have no ending of their own that could say so.
    bare = _bare(name)
    for ending, method in ((".gz", "gzip"), (".zst", "zstd")):
        if bare.endswith(ending):
            return f", compression = {literal(method)}"
    return ""


def _key(table: Table, columns: dict[str, str]) -> Key | None:
    dealt = table.partitioning
    if dealt.kind not in ("range", "hash") or not dealt.by:
        return None
    name = dealt.by[0]
    kind = columns.get(name, "")
    if kind.split("(")[0] not in _KEY_TYPES:
        return None
    count = len(table.shards)
    if dealt.kind == "hash":
        # The hash of several columns says nothing of each of them.
        return Key(name, ("hash", dealt.function, count, kind)) if len(dealt.by) == 1 else None
    if len(dealt.bounds) + 1 != count or not _within(table, name, dealt.bounds):
        return None
    return Key(name, ("range", dealt.bounds, count, kind))


def _within(table: Table, name: str, bounds: tuple[Any, ...]) -> bool:
    """Whether what is known of the shards agrees with the ranges that they are said to have."""
    kind = table.schema.field(name).type
    edges = [from_json(bound, kind).as_py() for bound in bounds]
    for shard, low, high in zip(table.shards, [None, *edges], [*edges, None], strict=True):
        stats = shard.stats.get(name)
        if stats is None or stats.low is None or stats.high is None:
            continue
        if low is not None and from_json(stats.low, kind).as_py() < low:
            return False
        if high is not None and from_json(stats.high, kind).as_py() >= high:
            return False
    return True
