"""Cutting Parquet files into shards of equal size without sorting them.

A file that is about as large as a shard is to be is kept as it is. The others are cut by rows, whatever
their row groups; a row group that two shards share is read twice, none is written twice.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from fscache.errors import TableSourceError
from fscache.grid.writing import footer_stats

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from fscache.grid.table import ColumnStats


@dataclass(frozen=True)
class Stretch:
    """Rows `start` to `stop` of a file."""

    path: str
    start: int
    stop: int


@dataclass(frozen=True)
class Cut:
    """What becomes one shard: a whole file, or stretches of some."""

    index: int
    rows: int
    whole: str | None
    stretches: tuple[Stretch, ...] = ()

    def read(self, columns: Sequence[str] | None) -> pa.Table:
        """Return the rows."""
        import pyarrow as pa

        parts = [_read(stretch, columns) for stretch in self.stretches]
        return pa.concat_tables(parts, promote_options="default")


def cuts_of(
    files: Sequence[str],
    table: str,
    *,
    size: int,
    shards: int | None,
    columns: Sequence[str] | None,
) -> tuple[list[Cut], pa.Schema]:
    """Return the cuts, and the schema of all.

    Args:
        files: Parquet files, in order.
        table: Its name, for errors.
        size: Bytes that a shard is to have.
        shards: How many there are to be, instead.
        columns: Which to keep.

    Raises:
        TableSourceError: the files have different columns.
        ArrowInvalid: a file, which it names, cannot be read.
    """
    import pyarrow.parquet as pq

    readers = []
    for file in files:
        with _naming(file):
            readers.append((file, pq.ParquetFile(file)))
    schema = readers[0][1].schema_arrow.remove_metadata()
    for file, reader in readers:
        other = reader.schema_arrow.remove_metadata()
        if not other.equals(schema):
            raise TableSourceError(f"{file} has other columns than {files[0]}", table)
    if columns is not None:
        unknown = [name for name in columns if name not in schema.names]
        if unknown:
            raise TableSourceError(f"there is no column {unknown[0]!r}: {schema.names}", table)
        schema = _subset(schema, columns)
    sizes = [(file, os.path.getsize(file), reader.metadata.num_rows) for file, reader in readers]
    for _file, reader in readers:
        reader.close()
    return plan(sizes, size=size, shards=shards, may_keep=columns is None), schema


def plan(
    files: Sequence[tuple[str, int, int]], *, size: int, shards: int | None, may_keep: bool
) -> list[Cut]:
    """Return the cuts of files given by path, bytes and rows. Pure."""
    cuts: list[Cut] = []
    loose: list[tuple[str, int, int]] = []

    def cut_loose() -> None:
        rows = sum(count for _path, _size, count in loose)
        total = sum(length for _path, length, _count in loose)
        number = shards or max(1, round(total / size))
        bounds = [rows * step // number for step in range(number + 1)]
        for start, stop in pairwise(bounds):
            if stop > start or number == 1:
                stretches = _between(loose, start, stop)
                cuts.append(Cut(len(cuts), stop - start, None, stretches))
        loose.clear()

    for file in files:
        if may_keep and shards is None and size / 2 <= file[1] <= size * 2:
            if loose:
                cut_loose()
            cuts.append(Cut(len(cuts), file[2], file[0]))
        else:
            loose.append(file)
    if loose:
        cut_loose()
    return cuts


def kept_whole(path: str) -> dict[str, ColumnStats]:
    """Return the statistics of a file that is kept as it is."""
    import pyarrow.parquet as pq

    with _naming(path), pq.ParquetFile(path) as file:
        return footer_stats(file.metadata)


def _between(files: list[tuple[str, int, int]], start: int, stop: int) -> tuple[Stretch, ...]:
    stretches = []
    before = 0
    for path, _size, rows in files:
        first, last = max(start - before, 0), min(stop - before, rows)
        if first < last:
            stretches.append(Stretch(path, first, last))
        before += rows
    return tuple(stretches) or (Stretch(files[0][0], 0, 0),)


def _read(stretch: Stretch, columns: Sequence[str] | None) -> pa.Table:
    import pyarrow.parquet as pq

    with _naming(stretch.path), pq.ParquetFile(stretch.path, memory_map=True) as file:
        groups: list[int] = []
        first = before = 0
        for number in range(file.metadata.num_row_groups):
            rows = file.metadata.row_group(number).num_rows
            if before < stretch.stop and before + rows > stretch.start:
                if not groups:
                    first = before
                groups.append(number)
            before += rows
        names = list(columns) if columns is not None else None
        table = file.read_row_groups(groups, names, use_threads=False)
        return table.slice(stretch.start - first, stretch.stop - stretch.start)


@contextmanager
def _naming(path: str) -> Iterator[None]:
    """Have errors of pyarrow's say which file it is."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as exc:
        raise pa.ArrowInvalid(f"{path}: {exc}") from exc


def _subset(schema: pa.Schema, columns: Sequence[str]) -> pa.Schema:
    import pyarrow as pa

    return pa.schema([schema.field(name) for name in columns])
